//! The table of what every part of the language does, and how it is read.

use std::path::PathBuf;

use exportjob_pql::{Field, Schema, Type};
use serde::Deserialize;
use serde_json::Value as Json;

/// The whole table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// What stands at the top of the page.
    pub about: String,
    /// Time of all evaluations.
    pub now: String,
    /// Types of the fields of a profile.
    pub profile_fields: Json,
    /// Types of the fields of an event.
    pub event_fields: Json,
    /// The profile that rows are about which have none of their own.
    pub profile: Json,
    /// Segments that the profile is in.
    pub member_of: Vec<String>,
    /// Parts of the table.
    pub sections: Vec<Section>,
}

/// Rows that belong together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Heading.
    pub title: String,
    /// What there is to say.
    #[serde(default)]
    pub about: String,
    /// Expressions.
    pub rows: Vec<Row>,
}

/// An expression and what becomes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The expression.
    pub expr: String,
    /// The profile, where it is not the one above.
    #[serde(default)]
    pub profile: Option<Json>,
    /// What it yields.
    #[serde(default, deserialize_with = "present")]
    pub is: Option<Json>,
    /// The line with which it is refused.
    #[serde(default)]
    pub error: Option<String>,
    /// Names of the warnings.
    #[serde(default)]
    pub warns: Option<Vec<String>>,
    /// Whether the schema must be known, or unknown, for this outcome.
    #[serde(default)]
    pub schema: Option<Knowledge>,
    /// What there is to say.
    #[serde(default)]
    pub note: Option<String>,
}

/// `null` is a value, too.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}

/// What is known of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Knowledge {
    /// All types.
    Known,
    /// Nothing.
    Unknown,
}

/// Folder of this crate.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The page that is made of the table.
pub fn page_path() -> PathBuf {
    folder().join("../../docs/reference/pql.md")
}

/// Reads the table.
pub fn table() -> Table {
    let path = folder().join("tests/conformance.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The schema of the table.
pub fn schema(table: &Table) -> Schema {
    Schema::new(fields(&table.profile_fields), fields(&table.event_fields))
}

/// `{name: type}`.
fn fields(json: &Json) -> Vec<Field> {
    json.as_object()
        .expect("fields")
        .iter()
        .map(|(name, type_)| Field::new(name, type_of(type_)))
        .collect()
}

/// A word, `[item]`, `{"*": value}` of a map, or `{name: type}`.
fn type_of(json: &Json) -> Type {
    match json {
        Json::String(word) => match word.as_str() {
            "string" => Type::String,
            "int" => Type::Int,
            "double" => Type::Double,
            "bool" => Type::Bool,
            "timestamp" => Type::Timestamp,
            "date" => Type::Date,
            other => panic!("no type {other}"),
        },
        Json::Array(items) => Type::list(type_of(&items[0])),
        Json::Object(entries) => match entries.get("*") {
            Some(value) => Type::map(type_of(value)),
            None => Type::structure(fields(json)),
        },
        other => panic!("no type {other}"),
    }
}

/// The page as Markdown.
pub fn page(table: &Table) -> String {
    let mut page = format!(
        "# Profile Query Language\n\n<!-- Generated from src/pql/tests/conformance.yaml: `make docs`. -->\n\n{}\n",
        table.about.trim()
    );
    page += "\n## The example\n\nAll rows of this page are about this profile, unless they show another, and tests evaluate each of them";
    page += &format!(
        " at {}. The profile is a member of the segments {}.\n",
        table.now,
        quoted(&table.member_of)
    );
    page += &format!(
        "\n```json\n{}\n```\n",
        serde_json::to_string_pretty(&table.profile).unwrap()
    );
    for section in &table.sections {
        page += &format!("\n## {}\n", section.title);
        if !section.about.is_empty() {
            page += &format!("\n{}\n", section.about.trim());
        }
        let results: Vec<&Row> = section.rows.iter().filter(|row| row.is.is_some()).collect();
        if !results.is_empty() {
            page += "\n| expression | outcome | |\n|---|---|---|\n";
            for row in results {
                let mut notes: Vec<String> = Vec::new();
                notes.extend(
                    row.profile
                        .as_ref()
                        .map(|profile| format!("of {}", code(&profile.to_string()))),
                );
                notes.extend(row.schema.map(|known| {
                    if known == Knowledge::Known {
                        "types known".to_owned()
                    } else {
                        "types unknown".to_owned()
                    }
                }));
                notes.extend(row.warns.iter().flatten().map(|name| format!("warns: {name}")));
                notes.extend(row.note.clone());
                page += &format!(
                    "| {} | {} | {} |\n",
                    code(&row.expr),
                    code(&row.is.as_ref().unwrap().to_string()),
                    notes.join("; ")
                );
            }
        }
        let errors: Vec<&Row> = section.rows.iter().filter(|row| row.error.is_some()).collect();
        if !errors.is_empty() {
            page += "\n| refused | because |\n|---|---|\n";
            for row in errors {
                page += &format!("| {} | {} |\n", code(&row.expr), cell(row.error.as_ref().unwrap()));
            }
        }
    }
    page
}

fn quoted(words: &[String]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Code in a cell of a table.
fn code(text: &str) -> String {
    let text = text.replace('\n', " ").replace('|', "\\|");
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('\n', " ")
        .replace('*', "\\*")
}
