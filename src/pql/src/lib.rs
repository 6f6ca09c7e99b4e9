//! The Profile Query Language, as far as segments use it that are computed over whole profiles: from text to a syntax
//! tree. Nothing here does I/O or reads a clock.
#![forbid(unsafe_code)]

pub mod ast;

mod diagnostic;
mod parse;
mod print;
mod span;
mod walk;
mod words;

pub use ast::Expr;
pub use diagnostic::{Diagnostic, Limit, Problem, Warning};
pub use parse::parse;
pub use span::{Position, Span};
