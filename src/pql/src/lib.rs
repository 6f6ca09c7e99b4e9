//! The Profile Query Language, as far as segments use it that are computed over whole profiles: from text to a syntax
//! tree, to a checked program, to its outcome for a profile. Nothing here does I/O or reads a clock.
#![forbid(unsafe_code)]

pub mod ast;

mod calendar;
mod check;
mod diagnostic;
mod eval;
mod explain;
mod json;
mod op;
mod parse;
mod print;
mod reads;
mod report;
mod segments;
mod span;
mod types;
mod walk;
mod words;

pub use ast::Expr;
pub use calendar::Clock;
pub use check::{Typed, check};
pub use diagnostic::{Diagnostic, Limit, Problem, Warning};
pub use eval::{JsonNode, Memberships, Node, Program, Row, View};
pub use explain::{Explainer, Explanation, Joint};
pub use json::parse_json;
pub use op::Step;
pub use parse::parse;
pub use reads::Reads;
pub use report::{StoredMemberships, Trial, describe, read, try_on};
pub use segments::{Cycle, dependencies, order};
pub use span::{Position, Span};
pub use types::{Field, Fields, Schema, Type};
