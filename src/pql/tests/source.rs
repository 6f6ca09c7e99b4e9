//! A source of data that is no JSON: fields by position, times as numbers, maps as maps. And other calendars.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use exportjob_pql::{Clock, Field, JsonNode, Node, Program, Row, Schema, Step, Type, View, check, parse};
use jiff::{Timestamp, civil::Weekday, tz::TimeZone};
use serde_json::json;

/// Values as tables have them.
enum Cell {
    Null,
    Int(i64),
    Text(&'static str),
    Time(i64),
    Date(i32),
    List(Vec<Cell>),
    Map(Vec<(&'static str, Cell)>),
    /// Fields have no names here: only their positions count.
    Struct(Vec<Cell>),
}

#[derive(Clone, Copy)]
struct At<'a>(&'a Cell);

impl<'a> Node<'a> for At<'a> {
    fn view(self) -> View<'a> {
        match self.0 {
            Cell::Null => View::Null,
            Cell::Int(number) => View::Int(*number),
            Cell::Text(text) => View::Text(text),
            Cell::Time(micros) => View::Time(*micros),
            Cell::Date(day) => View::Date(*day),
            Cell::List(_) => View::List,
            Cell::Map(_) => View::Map,
            Cell::Struct(_) => View::Struct,
        }
    }

    fn field(self, step: &Step) -> Option<Self> {
        match self.0 {
            Cell::Struct(fields) => fields.get(step.index.expect("the schema knows every field")).map(Self),
            _ => None,
        }
    }

    fn len(self) -> usize {
        match self.0 {
            Cell::List(items) => items.len(),
            Cell::Map(entries) => entries.len(),
            _ => 0,
        }
    }

    fn item(self, index: usize) -> Option<Self> {
        match self.0 {
            Cell::List(items) => items.get(index).map(Self),
            Cell::Map(entries) => entries.get(index).map(|(_, value)| Self(value)),
            _ => None,
        }
    }

    fn key(self, index: usize) -> Option<&'a str> {
        match self.0 {
            Cell::Map(entries) => entries.get(index).map(|(key, _)| *key),
            _ => None,
        }
    }
}

fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

fn schema() -> Schema {
    Schema::new(
        vec![
            Field::new("age", Type::Int),
            Field::new("born", Type::Date),
            Field::new(
                "ids",
                Type::map(Type::list(Type::structure(vec![
                    Field::new("id", Type::String),
                    Field::new("n", Type::Int),
                ]))),
            ),
        ],
        vec![
            Field::new("timestamp", Type::Timestamp),
            Field::new("eventType", Type::String),
        ],
    )
}

#[test]
fn fields_are_found_by_position_and_times_are_numbers() {
    let identity = |id, number| Cell::Struct(vec![Cell::Text(id), number]);
    let profile = Cell::Struct(vec![
        Cell::Int(34),
        Cell::Date(7475),
        Cell::Map(vec![(
            "email",
            Cell::List(vec![identity("a", Cell::Int(1)), identity("b", Cell::Null)]),
        )]),
    ]);
    let event = |time, kind| Cell::Struct(vec![Cell::Time(micros(time)), Cell::Text(kind)]);
    let events = Cell::List(vec![
        event("2024-06-14T08:00:00Z", "buy"),
        event("2024-06-10T08:00:00Z", "view"),
    ]);
    let row = Row {
        profile: At(&profile),
        events: Some(At(&events)),
    };
    for (text, expected) in [
        ("age = 34", true),
        (
            "born.getYear() = 1990 and born.getMonth() = 6 and born = date(1990, 6, 20)",
            true,
        ),
        ("born occurs < 40 years before now", true),
        (r#"ids.get("email").exists(id = "b" and n.isNull())"#, true),
        (r#"ids.get("email").n.sum() = 1 and ids.keys() = ["email"]"#, true),
        (r#"ids.get("phone").isNull()"#, true),
        (
            r#"chain(xEvent, timestamp, [A: WHAT(eventType = "view"), B: WHAT(eventType = "buy") WHEN(yesterday)])"#,
            true,
        ),
        (
            r#"chain(xEvent, timestamp, [A: WHAT(eventType = "buy"), B: WHAT(eventType = "view")])"#,
            false,
        ),
        ("xEvent[timestamp occurs yesterday].count() = 1", true),
        ("(select E from xEvent where E.timestamp occurs today)", false),
        (r#"inSegment("one") and not inSegment("two")"#, true),
    ] {
        let typed = check(&parse(text).unwrap(), &schema()).unwrap_or_else(|error| panic!("{}", error.render(text)));
        let program = Program::new(&typed, Clock::new(micros("2024-06-15T12:00:00Z")));
        assert_eq!(
            program.matches(row, &|segment: &str| segment == "one"),
            expected,
            "{text}"
        );
    }
}

fn matches(text: &str, time: &str, clock: Clock) -> bool {
    let profile = json!({"t": time});
    let typed = check(&parse(text).unwrap(), &Schema::any()).unwrap();
    Program::new(&typed, clock).matches(
        Row {
            profile: JsonNode::new(&profile),
            events: None,
        },
        &|_: &str| false,
    )
}

#[test]
fn days_are_those_of_the_time_zone() {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let clock = || Clock::new(micros("2024-06-15T12:00:00Z")).in_zone(zone.clone());
    for (text, time, expected) in [
        ("t occurs today", "2024-06-14T22:00:00Z", true),
        ("t occurs today", "2024-06-14T21:59:59Z", false),
        ("t occurs today", "2024-06-15T21:59:59Z", true),
        ("t occurs today", "2024-06-15T22:00:00Z", false),
        ("t occurs yesterday", "2024-06-14T21:59:59Z", true),
        ("t occurs this month", "2024-05-31T22:00:00Z", true),
        ("t occurs this month", "2024-05-31T21:00:00Z", false),
        ("t occurs on date(2024, 6, 1)", "2024-05-31T22:00:00Z", true),
        ("t occurs = 3 days before today", "2024-06-11T22:00:00Z", true),
        ("t occurs = 3 days before today", "2024-06-12T22:00:00Z", false),
        ("t.getDayOfMonth() = 15", "2024-06-14T22:00:00Z", true),
        ("t < date(2024, 6, 1)", "2024-05-31T21:59:59Z", true),
        ("t < date(2024, 6, 1)", "2024-05-31T22:00:00Z", false),
        ("t occurs = 1 hour before now", "2024-06-15T11:30:00Z", true),
    ] {
        assert_eq!(matches(text, time, clock()), expected, "{text} {time}");
    }
}

#[test]
fn weeks_begin_when_they_are_said_to() {
    let now = micros("2024-06-15T12:00:00Z");
    assert!(matches("t occurs this week", "2024-06-09T12:00:00Z", Clock::new(now)));
    assert!(!matches(
        "t occurs this week",
        "2024-06-09T12:00:00Z",
        Clock::new(now).week_from(Weekday::Monday)
    ));
    assert!(matches(
        "t occurs this week",
        "2024-06-16T12:00:00Z",
        Clock::new(now).week_from(Weekday::Monday)
    ));
}

#[test]
fn a_program_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<Program>();
}
