//! What the evaluator needs to know of a profile, wherever it lies.

use crate::op::Step;

/// What a node is; scalars with their value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View<'a> {
    /// Nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Number with a fraction.
    Double(f64),
    /// Text.
    Text(&'a str),
    /// Microseconds since 1970.
    Time(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// A list: ask for its items.
    List,
    /// A map: ask for its entries.
    Map,
    /// A struct: ask for its fields.
    Struct,
}

/// A value in the data that is looked at and not copied: a reference and a position, say.
///
/// Values that are not there are `None` or [`View::Null`], whichever is easier: they mean the same. Methods that do not fit
/// the kind of the node yield nothing.
pub trait Node<'a>: Copy {
    /// What it is.
    fn view(self) -> View<'a>;

    /// A field of a struct. Where the program was checked against a schema that knows the struct, `step.index` is the
    /// field's position in it; otherwise there is only the name.
    fn field(self, step: &Step) -> Option<Self>;

    /// How many items a list, or entries a map has.
    fn len(self) -> usize;

    /// Whether a list or map has no items.
    fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// An item of a list, or the value of an entry of a map.
    fn item(self, index: usize) -> Option<Self>;

    /// The key of an entry of a map.
    fn key(self, index: usize) -> Option<&'a str>;

    /// The value of the entry of a map with this key.
    fn get(self, key: &str) -> Option<Self> {
        (0..self.len())
            .find(|index| self.key(*index) == Some(key))
            .and_then(|index| self.item(index))
    }
}

/// Who is in which segment: of the profile that is evaluated.
pub trait Memberships {
    /// Whether the profile is a member of the segment; `index` is its position in [`Typed::segments`](crate::Typed::segments).
    fn is_member(&self, index: usize, segment: &str) -> bool;
}

/// By id.
impl<F: Fn(&str) -> bool> Memberships for F {
    fn is_member(&self, _: usize, segment: &str) -> bool {
        self(segment)
    }
}
