//! The log of a Delta table, written by hand: one commit for each group of files, at the time of that group.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};

use super::table::{Table, touch};
use crate::reference::model::Type;

/// Writes the log of a table whose files are there already.
pub fn write_log(table: &Table, folder: &Path) {
    let log = folder.join("_delta_log");
    fs::create_dir_all(&log).unwrap();
    for (version, group) in table.groups.iter().enumerate() {
        let millis = group.written / 1000;
        let mut lines = String::new();
        let mut action = |action: Value| writeln!(lines, "{action}").unwrap();
        action(json!({"commitInfo": {"timestamp": millis, "operation": "WRITE", "operationParameters": {}}}));
        if version == 0 {
            action(json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}));
            action(json!({"metaData": {
                "id": "6a1a8d2e-7d0b-4d5e-9a55-0d5f4f3f8a11",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": schema(&table.columns()).to_string(),
                "partitionColumns": [],
                "configuration": {},
                "createdTime": millis,
            }}));
        }
        for (path, _) in &group.files {
            let size = fs::metadata(folder.join(path)).unwrap().len();
            action(json!({"add": {
                "path": path, "partitionValues": {}, "size": size, "modificationTime": millis, "dataChange": true,
            }}));
        }
        let commit = log.join(format!("{version:020}.json"));
        fs::write(&commit, lines).unwrap();
        touch(&commit, group.written);
    }
}

fn schema(columns: &[(String, Type)]) -> Value {
    let fields: Vec<Value> = columns
        .iter()
        .map(|(name, kind)| json!({"name": name, "type": type_name(kind), "nullable": true, "metadata": {}}))
        .collect();
    json!({"type": "struct", "fields": fields})
}

fn type_name(kind: &Type) -> Value {
    match kind {
        Type::Bool => json!("boolean"),
        Type::Long => json!("long"),
        Type::Float => json!("double"),
        Type::Text => json!("string"),
        Type::Time => json!("timestamp"),
        Type::Date => json!("date"),
        Type::Struct(fields) => schema(fields),
        Type::List(element) => json!({"type": "array", "elementType": type_name(element), "containsNull": true}),
        Type::Map(value) => {
            json!({"type": "map", "keyType": "string", "valueType": type_name(value), "valueContainsNull": true})
        }
    }
}
