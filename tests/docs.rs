//! The documentation: what is generated is up to date, what is linked is there, what the code can say is explained.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use exportjob_api::crds;
use exportjob_tests::programs::repository;

#[path = "../src/api/src/bin/refgen/render.rs"]
mod render;

fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Markdown files that are part of the documentation.
fn pages() -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let root = repository();
    let mut found: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .map(|name| root.join(name))
        .into();
    for folder in ["docs", "examples", "tests", "charts"] {
        collect(&root.join(folder), &mut found);
    }
    found
}

/// Targets of `[text](target)` in a page, code aside.
fn links(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for rest in prose.split("](").skip(1) {
            found.extend(rest.split(')').next().map(str::to_owned));
        }
    }
    found
}

/// The anchors of a page, as GitHub makes them of headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let headings = page.lines().filter(|line| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        !fenced && line.starts_with('#')
    });
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn no_link_is_broken() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(file)
            };
            let found = target.exists()
                && (anchor.is_empty() || fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_reference_of_the_resources_is_that_of_the_types() {
    for crd in crds() {
        let name = format!("docs/reference/{}.md", crd.spec.names.singular.clone().unwrap());
        let generated = render::page(&serde_json::to_value(&crd).unwrap());
        assert!(
            read(&name) == generated,
            "{name} is not what the types say: run `make docs`"
        );
    }
}

#[test]
fn every_error_code_is_explained() {
    let page = read("docs/reference/exit-codes-and-errors.md");
    let codes = read("src/plan/src/code.rs");
    let declared: BTreeSet<&str> = codes
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1))
        .collect();
    assert!(!declared.is_empty());
    for code in &declared {
        assert!(
            page.contains(&format!("| `{code}` |")),
            "docs/reference/exit-codes-and-errors.md does not explain {code}"
        );
    }
    let explained = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for code in explained.filter(|code| code.chars().all(|c| c.is_ascii_uppercase() || c == '_')) {
        assert!(
            declared.contains(code),
            "docs/reference/exit-codes-and-errors.md explains {code}, which there is not"
        );
    }
}

#[test]
fn every_metric_is_explained() {
    let page = read("docs/reference/metrics.md");
    let source = read("src/controller/src/metrics.rs");
    let registered = source
        .split("registry.register")
        .skip(1)
        .filter_map(|call| call.split('"').nth(1));
    let mut count = 0;
    for name in registered.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_')) {
        assert!(
            page.contains(&format!("exportjob_{name}")),
            "docs/reference/metrics.md does not explain {name}"
        );
        count += 1;
    }
    assert!(count > 5, "found {count} metrics in the source");
}

#[test]
fn every_setting_of_the_controller_is_explained() {
    let page = read("docs/reference/cli.md");
    for file in ["args.rs", "settings.rs"] {
        for line in read(&format!("src/controller/src/{file}")).lines() {
            let Some(variable) = line.split("env = \"").nth(1).and_then(|rest| rest.split('"').next()) else {
                continue;
            };
            assert!(
                page.contains(variable),
                "docs/reference/cli.md does not explain {variable}"
            );
        }
    }
}
