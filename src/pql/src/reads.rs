//! Which fields a program looks at, so that nothing else has to be read for it.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    Schema, Type,
    op::{AnchorOp, Counted, Logic, Op, SeqOp, TextOp, TimeOp, When, WindowSpec},
};

/// The fields that a condition looks at, as paths of names; a path to a struct stands for all of it. Lists and maps have no
/// name of their own: a path goes through them to the fields of their items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Fields of the profile.
    pub profile: Vec<Vec<String>>,
    /// Fields of events.
    pub event: Vec<Vec<String>>,
    /// Whether it asks for events at all, be it only for their number.
    pub asks_for_events: bool,
}

/// The fields that a program looks at.
pub(crate) fn reads(op: &Op, schema: &Schema) -> Reads {
    let mut reader = Reader {
        schema,
        elements: vec![vec![Place::new(Root::Profile)]],
        variables: Vec::new(),
        found: BTreeSet::new(),
        asks_for_events: false,
    };
    reader.exists(op);
    let paths = |wanted: Root| {
        let found = reader.found.iter().filter(|place| place.root == wanted);
        found
            .map(|place| place.path.iter().map(ToString::to_string).collect())
            .collect()
    };
    Reads {
        profile: paths(Root::Profile),
        event: paths(Root::Event),
        asks_for_events: reader.asks_for_events,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Root {
    Profile,
    Event,
}

/// Somewhere in the data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    root: Root,
    path: Vec<Arc<str>>,
}

impl Place {
    fn new(root: Root) -> Self {
        Self { root, path: Vec::new() }
    }
}

/// Where a value, or what is in it, comes from; nowhere, if it is made on the way.
type Places = Vec<Place>;

/// Goes through a program and keeps in mind what elements and variables are.
struct Reader<'s> {
    schema: &'s Schema,
    elements: Vec<Places>,
    variables: Vec<Places>,
    found: BTreeSet<Place>,
    asks_for_events: bool,
}

impl Reader<'_> {
    /// Where the value comes from. It is not looked at yet; what it takes to find it is.
    fn value(&mut self, op: &Op) -> Places {
        match op {
            Op::Constant(_) | Op::Member(_) => Places::new(),
            Op::Element(level) => self.elements.get(*level).cloned().unwrap_or_default(),
            Op::Variable(slot) => self.variables.get(*slot).cloned().unwrap_or_default(),
            Op::Events => {
                self.asks_for_events = true;
                vec![Place::new(Root::Event)]
            }
            Op::Path(base, steps) => {
                let mut places = self.value(base);
                for place in &mut places {
                    place.path.extend(steps.iter().map(|step| Arc::clone(&step.name)));
                }
                places
            }
            Op::AsTime(inner) => self.value(inner),
            Op::List(items) => items.iter().flat_map(|item| self.value(item)).collect(),
            Op::Object(entries) => self.all(entries.iter().map(|(_, value)| value)),
            Op::Truth(inner, _) | Op::IsNull(inner) => self.exists(inner),
            Op::Logic(Logic::Not(inner)) | Op::Negate(inner) | Op::InTexts { value: inner, .. } => self.whole(inner),
            Op::Logic(Logic::And(items) | Logic::Or(items)) => self.all(items),
            Op::Logic(Logic::If(condition, then, otherwise)) => {
                self.whole(condition);
                [self.value(then), self.value(otherwise)].concat()
            }
            Op::Compare(_, left, right, _)
            | Op::Arithmetic(_, left, right)
            | Op::In {
                value: left,
                list: right,
                ..
            } => self.all([&**left, &**right]),
            Op::Text(text) => self.text(text),
            Op::Time(time) => self.time(time),
            Op::Seq(seq) => self.seq(seq),
            Op::Let { value, body } => {
                let bound = self.value(value);
                let outcome = self.with_variable(bound.clone(), |reader| reader.value(body));
                // What is bound has to be there, be it that nothing in it is looked at.
                let unread = bound.iter().filter(|place| {
                    let mut read = self.found.iter().chain(&outcome);
                    !read.any(|read| read.root == place.root && read.path.starts_with(&place.path))
                });
                let unread: Places = unread.cloned().collect();
                self.found_some(&unread);
                outcome
            }
            Op::Chain(chain) => {
                let source = self.items(&chain.source);
                self.with_element(source, |reader| {
                    reader.whole(&chain.time);
                    for step in &chain.steps {
                        reader.all(&step.conditions);
                        if let Some(When::Relative(spec)) = &step.when {
                            reader.window(spec);
                        }
                    }
                });
                Places::new()
            }
        }
    }

    /// A value that is looked at, with all in it; what comes of it is made on the way.
    fn whole(&mut self, op: &Op) -> Places {
        let places = self.value(op);
        self.found.extend(places);
        Places::new()
    }

    fn all<'o>(&mut self, ops: impl IntoIterator<Item = &'o Op>) -> Places {
        for op in ops {
            self.whole(op);
        }
        Places::new()
    }

    /// A value of which only matters whether it is there, or how many items it has.
    fn exists(&mut self, op: &Op) -> Places {
        let places = self.value(op);
        self.found_some(&places);
        Places::new()
    }

    fn found_some(&mut self, places: &[Place]) {
        let needed: Vec<Place> = places.iter().filter_map(|place| self.least(place)).collect();
        self.found.extend(needed);
    }

    /// The least that has to be read to know whether something is there.
    fn least(&self, place: &Place) -> Option<Place> {
        if place.path.is_empty() {
            // The profile and its events are there anyway.
            return None;
        }
        let mut type_ = match place.root {
            Root::Profile => &self.schema.profile,
            Root::Event => &self.schema.event,
        };
        let mut in_list = false;
        for name in &place.path {
            let (holder, through) = item(type_);
            in_list |= through;
            match holder {
                Type::Struct(fields) => type_ = fields.find(name)?.1,
                _ => return Some(place.clone()),
            }
        }
        let (_, through) = item(type_);
        let mut least = place.clone();
        // A struct that is merged out of several rows is there when one of its fields is; items come as they are.
        if !in_list && !through {
            return Some(least);
        }
        while let (Type::Struct(fields), _) = item(type_) {
            let Some(first) = fields.iter().next() else { break };
            least.path.push(Arc::from(first.name.as_str()));
            type_ = &first.type_;
        }
        Some(least)
    }

    fn text(&mut self, text: &TextOp) -> Places {
        match text {
            TextOp::Test { text, others, .. } => {
                self.whole(text);
                self.all(others)
            }
            TextOp::Matches(text, _)
            | TextOp::Group(text, ..)
            | TextOp::Empty(text, _)
            | TextOp::Length(text)
            | TextOp::Change(text, _) => self.whole(text),
            TextOp::Concat(parts) => self.all(parts),
            TextOp::Substr(text, from, length) => {
                self.all([&**text, &**from]);
                self.all(length.as_deref())
            }
        }
    }

    fn time(&mut self, time: &TimeOp) -> Places {
        match time {
            TimeOp::Instant(_) => Places::new(),
            TimeOp::Date(parts) => self.all(parts.iter()),
            TimeOp::Part(time, _) | TimeOp::Absolute(time, _) => self.whole(time),
            TimeOp::Relative(time, spec) => {
                self.whole(time);
                self.window(spec);
                Places::new()
            }
        }
    }

    fn window(&mut self, spec: &WindowSpec) {
        let anchors = match spec {
            WindowSpec::Within { anchor, .. } | WindowSpec::Beside(_, anchor) | WindowSpec::On(anchor) => {
                [Some(anchor), None]
            }
            WindowSpec::Between(from, to) => [Some(from), Some(to)],
        };
        for anchor in anchors.into_iter().flatten() {
            if let AnchorOp::Time(op) = anchor {
                self.whole(op);
            }
        }
    }

    fn seq(&mut self, seq: &SeqOp) -> Places {
        match seq {
            SeqOp::Filter(list, condition) => self.filtered(list, condition),
            SeqOp::Exists(list, condition) => {
                self.filtered(list, condition);
                Places::new()
            }
            SeqOp::Map(list, body) | SeqOp::MapValues(list, body) => {
                let items = self.items(list);
                self.with_element(items, |reader| reader.value(body))
            }
            SeqOp::MapEntries { map, key, value } => {
                let values = self.items(map);
                self.with_variable(Places::new(), |reader| {
                    reader.with_variable(values, |reader| {
                        reader.all(key.as_deref());
                        reader.value(value)
                    })
                })
            }
            SeqOp::Each {
                list, condition, body, ..
            } => {
                let items = self.items(list);
                self.with_variable(items, |reader| {
                    reader.all(condition.as_deref());
                    reader.value(body)
                })
            }
            SeqOp::Quantified {
                list, condition, claim, ..
            } => {
                let items = self.items(list);
                self.with_variable(items, |reader| {
                    reader.all(condition.as_deref());
                    reader.whole(claim)
                })
            }
            SeqOp::Distinct(list) => {
                self.whole(list);
                self.value(list)
            }
            SeqOp::Intersection(left, right) => {
                self.all([&**left, &**right]);
                self.value(left)
            }
            SeqOp::Intersects(left, right) | SeqOp::Subset(left, right) => self.all([&**left, &**right]),
            SeqOp::GroupBy(list, key) => {
                let items = self.items(list);
                self.with_element(items.clone(), |reader| reader.whole(key));
                items
            }
            SeqOp::Top { list, key, count, .. } => {
                let items = self.items(list);
                self.with_element(items.clone(), |reader| reader.whole(key));
                self.whole(count);
                items
            }
            other => self.one_value(other),
        }
    }

    /// What comes of a list or map that is no list.
    fn one_value(&mut self, seq: &SeqOp) -> Places {
        match seq {
            SeqOp::Aggregate(_, list, body) => match body {
                Some(body) => {
                    let items = self.items(list);
                    self.with_element(items, |reader| reader.whole(body))
                }
                None => self.whole(list),
            },
            SeqOp::Count(list, Counted::DistinctWithNull) => self.whole(list),
            SeqOp::Count(map, _) | SeqOp::Keys(map) => self.exists(map),
            SeqOp::Head(list) | SeqOp::Values(list) => self.value(list),
            SeqOp::Get(map, key) => {
                self.whole(key);
                self.value(map)
            }
            SeqOp::Filter(..)
            | SeqOp::Map(..)
            | SeqOp::MapValues(..)
            | SeqOp::MapEntries { .. }
            | SeqOp::Each { .. }
            | SeqOp::Exists(..)
            | SeqOp::Quantified { .. }
            | SeqOp::Distinct(_)
            | SeqOp::Intersection(..)
            | SeqOp::Intersects(..)
            | SeqOp::Subset(..)
            | SeqOp::GroupBy(..)
            | SeqOp::Top { .. } => self.seq(seq),
        }
    }

    /// Where something comes from, such as the items of a list, of which it matters whether they are there.
    fn items(&mut self, list: &Op) -> Places {
        let items = self.value(list);
        self.found_some(&items);
        items
    }

    fn filtered(&mut self, list: &Op, condition: &Op) -> Places {
        let items = self.items(list);
        self.with_element(items.clone(), |reader| reader.whole(condition));
        items
    }

    fn with_variable<T>(&mut self, places: Places, read: impl FnOnce(&mut Self) -> T) -> T {
        self.variables.push(places);
        let outcome = read(self);
        self.variables.pop();
        outcome
    }

    fn with_element<T>(&mut self, places: Places, read: impl FnOnce(&mut Self) -> T) -> T {
        self.elements.push(places);
        let outcome = read(self);
        self.elements.pop();
        outcome
    }
}

/// What a list or map holds, through all levels, and whether it is one.
fn item(type_: &Type) -> (&Type, bool) {
    match type_ {
        Type::List(inner) | Type::Map(_, inner) => (item(inner).0, true),
        other => (other, false),
    }
}

#[cfg(test)]
mod tests;
