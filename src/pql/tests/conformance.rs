//! Every row of the table holds, and the page shows the table as it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    missing_docs
)]

mod support;

use exportjob_pql::{Clock, Diagnostic, JsonNode, Program, Row as Profile, Schema, Typed, check, parse};
use serde_json::Value as Json;
use support::{Knowledge, Row, Table, page, page_path, schema, table};

/// What becomes of an expression: a value with the names of warnings, or the line with which it is refused.
type Outcome = Result<(Json, Vec<String>), String>;

fn run(table: &Table, row: &Row, schema: &Schema) -> Outcome {
    let line = |error: Diagnostic| error.line(&row.expr);
    let expr = parse(&row.expr).map_err(line)?;
    let typed: Typed = check(&expr, schema).map_err(line)?;
    let warnings = typed.warnings().iter().map(|warning| warning.code.to_owned()).collect();
    let now: jiff::Timestamp = table.now.parse().unwrap();
    let program = Program::new(&typed, Clock::new(now.as_microsecond()));
    let profile = row.profile.as_ref().unwrap_or(&table.profile);
    let node = Profile {
        profile: JsonNode::new(profile),
        events: profile.get("xEvent").map(JsonNode::new),
    };
    let member = |segment: &str| table.member_of.iter().any(|known| known == segment);
    let value = program.value(node, &member);
    if let Json::Bool(truth) = value {
        assert_eq!(program.matches(node, &member), truth, "{}", row.expr);
    }
    Ok((value, warnings))
}

fn expected(row: &Row, found: &Outcome) -> bool {
    match (found, &row.is, &row.error) {
        (Ok((value, warnings)), Some(is), None) => {
            value == is && row.warns.as_ref().is_none_or(|names| names == warnings)
        }
        (Err(line), None, Some(error)) => line == error,
        _ => false,
    }
}

#[test]
fn every_row_of_the_table_holds() {
    let table = table();
    let (known, unknown) = (schema(&table), Schema::any());
    let mut wrong = Vec::new();
    let mut rows = 0;
    for section in &table.sections {
        for row in &section.rows {
            rows += 1;
            // Errors of types need types; everything else is the same with and without.
            let with = row.schema != Some(Knowledge::Unknown);
            let without = row.schema == Some(Knowledge::Unknown) || (row.schema.is_none() && row.is.is_some());
            for (used, schema, name) in [(with, &known, "known"), (without, &unknown, "unknown")] {
                if !used {
                    continue;
                }
                let mut found = run(&table, row, schema);
                if name == "unknown" && row.schema.is_none() {
                    // Warnings may need types, too.
                    if let (Ok((_, warnings)), Some(names)) = (&mut found, &row.warns) {
                        warnings.clone_from(names);
                    }
                }
                if !expected(row, &found) {
                    wrong.push(format!(
                        "{} (types {name})\n  {found:?}\n  not {:?} {:?} {:?}",
                        row.expr, row.is, row.warns, row.error
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows} rows do not hold:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_page_shows_the_table() {
    let path = page_path();
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let generated = page(&table());
    let differs = generated.lines().zip(found.lines()).find(|(new, old)| new != old);
    assert!(
        generated == found,
        "{} is not what the table says ({differs:?}): run `make docs`",
        path.display()
    );
}

#[test]
fn every_expression_prints_as_text_that_reads_the_same() {
    for section in &table().sections {
        for row in &section.rows {
            let Ok(expr) = parse(&row.expr) else { continue };
            let printed = expr.to_string();
            let again = parse(&printed).unwrap_or_else(|error| panic!("{}\n{}", row.expr, error.render(&printed)));
            assert_eq!(expr, again, "{} is printed as {printed}", row.expr);
        }
    }
}
