//! From a custom resource definition to a page of Markdown: one table for each object.

use std::fmt::Write as _;

use serde_json::Value;

/// Objects that Kubernetes defines, with what its documentation calls them.
const KUBERNETES: &[(&str, &str)] = &[
    ("affinity", "Affinity"),
    ("tolerations", "Toleration"),
    ("topologySpreadConstraints", "TopologySpreadConstraint"),
    ("conditions", "Condition"),
    ("imagePullSecrets", "LocalObjectReference"),
];

/// The page of a definition, given as JSON.
pub fn page(crd: &Value) -> String {
    let spec = &crd["spec"];
    let version = &spec["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let kind = text(&spec["names"]["kind"]);
    let mut page = format!(
        "# {kind}\n\n<!-- Generated from the types by `make docs`: do not edit. -->\n\n{}\n\n",
        text(&schema["description"])
    );
    let _ = writeln!(
        page,
        "`apiVersion: {}/{}`, `kind: {kind}`, namespaced, `kubectl get {}`.\n",
        text(&spec["group"]),
        text(&version["name"]),
        words(spec).join("`, `")
    );
    columns(&mut page, version);
    for part in ["spec", "status"] {
        let schema = &schema["properties"][part];
        if schema.is_object() {
            object(&mut page, part, schema);
        }
    }
    page
}

/// What kubectl calls the resource.
fn words(spec: &Value) -> Vec<&str> {
    let names = &spec["names"];
    let short = names["shortNames"].as_array().into_iter().flatten();
    let categories = names["categories"].as_array().into_iter().flatten();
    std::iter::once(&names["plural"])
        .chain(short)
        .chain(categories)
        .map(text)
        .collect()
}

fn columns(page: &mut String, version: &Value) {
    let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
    let names: Vec<String> = columns
        .map(|column| {
            let wide = if column["priority"].as_i64().unwrap_or(0) > 0 {
                " (with `-o wide`)"
            } else {
                ""
            };
            format!("{}{wide}", text(&column["name"]))
        })
        .collect();
    if !names.is_empty() {
        let _ = writeln!(page, "Columns: {}.\n", names.join(", "));
    }
    let fields = version["selectableFields"].as_array().into_iter().flatten();
    let fields: Vec<String> = fields
        .map(|field| format!("`{}`", text(&field["jsonPath"]).trim_start_matches('.')))
        .collect();
    if !fields.is_empty() {
        let _ = writeln!(page, "Field selectors: {}.\n", fields.join(", "));
    }
}

/// The table of an object, then those of the objects in it.
fn object(page: &mut String, path: &str, schema: &Value) {
    let _ = writeln!(page, "## {path}\n");
    let description = text(&schema["description"]);
    if !description.is_empty() {
        let _ = writeln!(page, "{}\n", description.replace('\n', " "));
    }
    let rules = rules(path, schema);
    for rule in &rules {
        let _ = writeln!(page, "- Rule: {rule}.");
    }
    if !rules.is_empty() {
        page.push('\n');
    }
    page.push_str("| field | type | |\n|---|---|---|\n");
    let none = serde_json::Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().map(text).collect();
    for (name, property) in properties {
        let must = if required.contains(&name.as_str()) {
            "**Required.** "
        } else {
            ""
        };
        let _ = writeln!(
            page,
            "| `{name}` | {} | {must}{} |",
            type_of(name, property),
            about(property)
        );
    }
    page.push('\n');
    for (name, property) in properties {
        let (suffix, inner) = innermost(property);
        if inner["properties"].is_object() && kubernetes(name).is_none() {
            object(page, &format!("{path}.{name}{suffix}"), inner);
        }
    }
}

/// What lists and maps hold, with how a path shows them.
fn innermost(schema: &Value) -> (String, &Value) {
    if schema["items"].is_object() {
        let (suffix, inner) = innermost(&schema["items"]);
        return (format!("[]{suffix}"), inner);
    }
    if schema["additionalProperties"].is_object() {
        let (suffix, inner) = innermost(&schema["additionalProperties"]);
        return (format!(".KEY{suffix}"), inner);
    }
    (String::new(), schema)
}

fn type_of(name: &str, schema: &Value) -> String {
    if let Some(named) = kubernetes(name) {
        let list = if schema["items"].is_object() { "list of " } else { "" };
        return format!("{list}Kubernetes `{named}`");
    }
    if schema["items"].is_object() {
        return format!("list of {}", type_of("", &schema["items"]));
    }
    if schema["additionalProperties"].is_object() {
        return format!("map of {}", type_of("", &schema["additionalProperties"]));
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return "integer or string".to_owned();
    }
    text(&schema["type"]).to_owned()
}

fn kubernetes(name: &str) -> Option<&'static str> {
    KUBERNETES
        .iter()
        .find(|(field, _)| *field == name)
        .map(|(_, named)| *named)
}

/// Description, values and bounds of a field, in one line.
fn about(schema: &Value) -> String {
    let mut about = text(&schema["description"]).replace('\n', " ");
    let values = schema["enum"].as_array().or_else(|| schema["items"]["enum"].as_array());
    if let Some(values) = values {
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", text(value))).collect();
        let _ = write!(about, " One of {}.", values.join(", "));
    }
    for (bound, what) in [
        ("maxLength", "characters"),
        ("maxItems", "items"),
        ("maxProperties", "entries"),
    ] {
        if let Some(most) = schema[bound].as_u64() {
            let _ = write!(about, " At most {most} {what}.");
        }
    }
    // An object has a table of its own, with its rules above it.
    if !schema["properties"].is_object() {
        for rule in rules("", schema) {
            let _ = write!(about, " Rule: {rule}.");
        }
    }
    // A bar would end the cell.
    about.trim().replace('|', "\\|")
}

/// Messages of the rules of an object or field. That nothing can be changed is said once, of the whole spec.
fn rules<'a>(path: &str, schema: &'a Value) -> Vec<&'a str> {
    let all = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let mut messages: Vec<&str> = all
        .map(|rule| text(&rule["message"]))
        .filter(|rule| path == "spec" || !rule.starts_with("cannot be changed"))
        .collect();
    messages.dedup();
    messages
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
