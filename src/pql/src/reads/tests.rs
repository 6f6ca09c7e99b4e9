use super::*;
use crate::{Field, check, parse};

fn schema() -> Schema {
    let item = Type::structure(vec![Field::new("sku", Type::String), Field::new("price", Type::Double)]);
    let address = Type::structure(vec![Field::new("city", Type::String), Field::new("since", Type::Date)]);
    Schema::new(
        vec![
            Field::new("home", address.clone()),
            Field::new("orders", Type::list(item.clone())),
            Field::new("tags", Type::list(Type::String)),
            Field::new("shops", Type::map(item.clone())),
        ],
        vec![
            Field::new("timestamp", Type::Timestamp),
            Field::new("kind", Type::String),
            Field::new("place", address),
            Field::new("items", Type::list(item)),
        ],
    )
}

fn read(text: &str) -> (String, String) {
    let typed = check(&parse(text).unwrap(), &schema()).unwrap();
    let lines = |paths: &[Vec<String>]| paths.iter().map(|path| path.join(".")).collect::<Vec<_>>().join(" ");
    (lines(&typed.reads().profile), lines(&typed.reads().event))
}

#[test]
fn only_the_fields_that_matter_are_read() {
    let cases = [
        (r#"home.city = "Oslo" and not inSegment("s")"#, "home.city", ""),
        ("home.since occurs before today", "home.since", ""),
        ("xEvent.count() > 3", "", ""),
        (r#"xEvent[kind = "view"]"#, "", "kind"),
        (r#"xEvent[kind = "view" and ^.home.city = "Oslo"]"#, "home.city", "kind"),
        (
            r#"exists E from xEvent where E.kind = "view", I from E.items where I.sku = "A""#,
            "",
            "items.sku kind",
        ),
        (r#"orders[sku = "A"].sum(price) > 2"#, "orders.price orders.sku", ""),
        ("orders.count() > 2", "orders.sku", ""),
        (
            "orders.topN(price, 1).head().sku = \"A\"",
            "orders.price orders.sku",
            "",
        ),
        (r#"shops.get("a").price > 1"#, "shops.price", ""),
        (r#"shops.keys().includes("a")"#, "shops.sku", ""),
        (r#"tags.includes("a")"#, "tags", ""),
        ("tags.isNull()", "tags", ""),
        (
            r#"chain(xEvent, timestamp, [A: WHAT(kind = "a"), B: WHEN(< 3 days before now)])"#,
            "",
            "kind timestamp",
        ),
        (r#"let H = home in H.city = "x""#, "home.city", ""),
        ("let H = home in true", "home", ""),
        (r#"(P) => P.home.city = "x""#, "home.city", ""),
        (
            r#"xEvent.groupBy(kind).map((K, G) => G.count()).values().max() > 2"#,
            "",
            "kind",
        ),
        (
            "if(home.city.isNull(), xEvent, xEvent[timestamp occurs today]).place.city = \"x\"",
            "home.city",
            "place.city timestamp",
        ),
    ];
    for (text, profile, event) in cases {
        assert_eq!(read(text), (profile.to_owned(), event.to_owned()), "{text}");
    }
}

#[test]
fn a_struct_that_is_asked_for_is_read_whole_outside_of_lists_because_its_fields_make_it() {
    assert_eq!(read("home.isNull()").0, "home");
    assert_eq!(read("xEvent[place.isNotNull()]").1, "place");
    assert_eq!(read("orders[this.isNull()]").0, "orders.sku");
}
