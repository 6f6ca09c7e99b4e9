//! Tables on disk.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use datafusion::{
    arrow::{
        array::{Array as _, Int64Array, RecordBatch},
        compute::cast,
        datatypes::DataType,
    },
    parquet::{arrow::ArrowWriter, file::properties::WriterProperties},
};
use exportjob_api::TableFormat;
use serde_json::{Map, Value};

use super::{arrow::Encoding, delta};
use crate::reference::model::{Row, TableData, Type, union_fields};

/// Some files of one table: all with the same columns, stored in the same way, written at the same time.
#[derive(Clone, Debug)]
pub struct Files {
    /// Path of each file below the table's folder, with its rows.
    pub files: Vec<(String, Vec<Map<String, Value>>)>,
    pub columns: Vec<(String, Type)>,
    pub encoding: Encoding,
    /// Microseconds; whole seconds.
    pub written: i64,
    /// Rows of a row group.
    pub row_group: usize,
    /// What stands in all times of the file, in the unit of its encoding, whatever the rows say.
    pub raw_times: Option<i64>,
}

impl Files {
    /// One file, stored plainly.
    pub fn plain(columns: &[(&str, Type)], rows: Vec<Map<String, Value>>) -> Self {
        Self {
            files: vec![("part-0.parquet".to_owned(), rows)],
            columns: columns
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), kind.clone()))
                .collect(),
            encoding: Encoding::default(),
            written: 1_700_000_000_000_000,
            row_group: 1000,
            raw_times: None,
        }
    }

    /// Writes one file.
    pub fn write(&self, path: &Path, rows: &[Map<String, Value>]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let batch = self.encoding.batch(&self.columns, rows);
        let batch = self.raw_times.map_or(batch.clone(), |time| with_times(&batch, time));
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(self.row_group))
            .build();
        let mut writer = ArrowWriter::try_new(
            File::create(path).unwrap(),
            Arc::clone(batch.schema_ref()),
            Some(properties),
        )
        .unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        touch(path, self.written);
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    pub format: TableFormat,
    pub groups: Vec<Files>,
}

impl Table {
    /// A folder with one plain Parquet file.
    pub fn plain(columns: &[(&str, Type)], rows: Vec<Map<String, Value>>) -> Self {
        Self {
            format: TableFormat::Parquet,
            groups: vec![Files::plain(columns, rows)],
        }
    }

    /// All columns of all files.
    pub fn columns(&self) -> Vec<(String, Type)> {
        self.groups
            .iter()
            .fold(Vec::new(), |all, group| union_fields(&all, &group.columns))
    }

    /// As the reference reads it.
    pub fn data(&self) -> TableData {
        let mut data = TableData {
            columns: self.columns(),
            rows: Vec::new(),
        };
        for group in &self.groups {
            for (_, rows) in &group.files {
                data.rows.extend(rows.iter().map(|row| Row {
                    values: row.clone(),
                    written: group.written,
                }));
            }
        }
        data
    }

    /// Writes the table below `folder`.
    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        for group in &self.groups {
            for (path, rows) in &group.files {
                group.write(&folder.join(path), rows);
            }
        }
        if self.format == TableFormat::Delta {
            delta::write_log(self, folder);
        }
    }
}

fn with_times(batch: &RecordBatch, time: i64) -> RecordBatch {
    let columns = batch.columns().iter().map(|column| match column.data_type() {
        DataType::Timestamp(_, _) => cast(&Int64Array::from_value(time, column.len()), column.data_type()).unwrap(),
        _ => Arc::clone(column),
    });
    RecordBatch::try_new(batch.schema(), columns.collect()).unwrap()
}

/// Sets the time at which a file was last written.
pub fn touch(path: &Path, micros: i64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap());
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}
