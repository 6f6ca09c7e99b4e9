//! JSON as a source of profiles.

use serde_json::Value as Json;

use super::node::{Node, View};
use crate::op::Step;

/// A value of a JSON document. Objects are structs and maps, as they are asked; times are texts.
#[derive(Clone, Copy, Debug)]
pub struct JsonNode<'a>(&'a Json);

impl<'a> JsonNode<'a> {
    /// Looks at this value.
    pub fn new(json: &'a Json) -> Self {
        Self(json)
    }
}

impl<'a> Node<'a> for JsonNode<'a> {
    fn view(self) -> View<'a> {
        match self.0 {
            Json::Null => View::Null,
            Json::Bool(value) => View::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => View::Int(number),
                (None, Some(number)) => View::Double(number),
                (None, None) => View::Null,
            },
            Json::String(text) => View::Text(text),
            Json::Array(_) => View::List,
            Json::Object(_) => View::Struct,
        }
    }

    fn field(self, step: &Step) -> Option<Self> {
        self.0.get(&*step.name).map(Self)
    }

    fn len(self) -> usize {
        match self.0 {
            Json::Array(items) => items.len(),
            Json::Object(entries) => entries.len(),
            _ => 0,
        }
    }

    fn item(self, index: usize) -> Option<Self> {
        match self.0 {
            Json::Array(items) => items.get(index).map(Self),
            Json::Object(entries) => entries.values().nth(index).map(Self),
            _ => None,
        }
    }

    fn key(self, index: usize) -> Option<&'a str> {
        match self.0 {
            Json::Object(entries) => entries.keys().nth(index).map(String::as_str),
            _ => None,
        }
    }

    fn get(self, key: &str) -> Option<Self> {
        self.0.as_object().and_then(|entries| entries.get(key)).map(Self)
    }
}
