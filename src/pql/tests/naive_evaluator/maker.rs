//! Random expressions and profiles.

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Map, Value as Json, json};

/// Makes expressions whose types fit, and profiles that lack some of what they ask for.
pub(crate) struct Maker {
    pub(crate) random: StdRng,
    /// Whether bare names are fields of an item rather than of the profile.
    pub(crate) item: bool,
    pub(crate) budget: usize,
}

impl Maker {
    fn pick<'a>(&mut self, options: &[&'a str]) -> &'a str {
        options.choose(&mut self.random).unwrap()
    }

    fn number(&mut self) -> String {
        self.budget = self.budget.saturating_sub(1);
        if self.budget == 0 || self.random.random_bool(0.5) {
            return match (self.random.random_range(0..4), self.item) {
                (0, _) => self.random.random_range(-3..8).to_string(),
                (1, _) => self.pick(&["0.5", "2.0", "-1.5"]).to_owned(),
                (_, true) => self.pick(&["p", "^.a", "$1.b.c"]).to_owned(),
                (_, false) => self
                    .pick(&[
                        "a",
                        "b.c",
                        "$1.a",
                        "l.count()",
                        "l.sum(p)",
                        "l.max(p)",
                        "n.head()",
                        "n.average()",
                    ])
                    .to_owned(),
            };
        }
        match self.random.random_range(0..4) {
            0 => format!("-({})", self.number()),
            1 => format!("if({}, {}, {})", self.condition(), self.number(), self.number()),
            _ => {
                let operator = self.pick(&["+", "-", "*", "/", "%"]);
                format!("({}) {operator} ({})", self.number(), self.number())
            }
        }
    }

    fn text(&mut self) -> String {
        let options: &[&str] = if self.item {
            &["t", "^.s", "\"x\"", "\"\""]
        } else {
            &["s", "b.s", "\"x\"", "\"xy\"", "l.head().t"]
        };
        self.pick(options).to_owned()
    }

    pub(crate) fn condition(&mut self) -> String {
        self.budget = self.budget.saturating_sub(1);
        let choice = if self.budget == 0 {
            self.random.random_range(0..5)
        } else {
            self.random.random_range(0..14)
        };
        let comparison = self.pick(&["=", "!=", "<", "<=", ">", ">="]);
        match choice {
            0 => format!("({}) {comparison} ({})", self.number(), self.number()),
            1 => format!("{} {comparison} {}", self.text(), self.text()),
            2 => format!(
                "{} {} [1, 2, null, 5]",
                self.pick(if self.item {
                    &["p", "q"]
                } else {
                    &["a", "n", "l.p", "l.q"]
                }),
                self.pick(&["in", "notIn"])
            ),
            3 if self.item => self
                .pick(&["q", "q.startsWith(\"x\")", "q = 2", "this.p > 1", "true"])
                .replace("q.startsWith", "t.startsWith"),
            3 => self
                .pick(&[
                    "l",
                    "n",
                    "l.q = n",
                    "n = [1, 2]",
                    "n != [1, 2]",
                    "l.q > 2",
                    "l.t.startsWith(\"x\")",
                    "2 < n",
                    "b",
                ])
                .to_owned(),
            4 => format!(
                "{}.startsWith({})",
                self.pick(if self.item { &["t"] } else { &["s", "l.t"] }),
                self.text()
            ),
            5 | 6 => format!("({}) and ({})", self.condition(), self.condition()),
            7 | 8 => format!("({}) or ({})", self.condition(), self.condition()),
            9 => format!("not ({})", self.condition()),
            10 => format!("(let v = {} in v > {})", self.number(), self.number()),
            _ if self.item => format!("not ({})", self.condition()),
            11 => {
                let inner = self.inner();
                let function = self.pick(&["count()", "sum(p)", "min(p)", "max(q)", "sum(q)", "average(p)"]);
                format!("l[{inner}].{function} {comparison} {}", self.number())
            }
            12 => {
                let inner = self.inner();
                self.pick(&["l.exists(@)", "l[@]", "l[@].q = 2"]).replace('@', &inner)
            }
            _ => {
                let quantifier = self.pick(&["exists", "forall"]);
                let filter = self.pick(&["", " where E.p > 1", " where E.q"]);
                format!("({quantifier} E from l{filter} : E.p {comparison} ({}))", self.number())
            }
        }
    }

    fn inner(&mut self) -> String {
        self.item = true;
        let inner = self.condition();
        self.item = false;
        inner
    }

    fn maybe(&mut self, value: Json) -> Option<Json> {
        match self.random.random_range(0..6) {
            0 => None,
            1 => Some(Json::Null),
            _ => Some(value),
        }
    }

    fn structure(&mut self, fields: Vec<(&str, Json)>) -> Json {
        let mut found = Map::new();
        for (name, value) in fields {
            if let Some(value) = self.maybe(value) {
                found.insert(name.to_owned(), value);
            }
        }
        Json::Object(found)
    }

    fn numbers(&mut self) -> Json {
        let count = self.random.random_range(0..3);
        (0..count)
            .map(|_| {
                if self.random.random_bool(0.2) {
                    Json::Null
                } else {
                    json!(self.random.random_range(0..5))
                }
            })
            .collect()
    }

    pub(crate) fn profile(&mut self) -> Json {
        let count = self.random.random_range(0..4);
        let list: Json = (0..count)
            .map(|_| {
                let fields = vec![
                    ("p", json!(self.random.random_range(0..5))),
                    ("q", self.numbers()),
                    ("t", json!(self.pick(&["x", "xy", "z", ""]))),
                ];
                self.structure(fields)
            })
            .collect();
        let inner = vec![
            ("c", json!(self.random.random_range(0.0..4.0_f64).round() / 2.0)),
            ("s", json!("xy")),
        ];
        let inner = self.structure(inner);
        let fields = vec![
            ("a", json!(self.random.random_range(-2..6))),
            ("s", json!(self.pick(&["x", "xy", "z"]))),
            ("b", inner),
            ("l", list),
            ("n", self.numbers()),
        ];
        self.structure(fields)
    }
}
