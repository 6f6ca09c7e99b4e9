//! Expressions as people have them: from the documentation of the language and of its relatives. All of them are read;
//! segments are accepted, other values are not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::needless_raw_string_hashes,
    missing_docs
)]

use exportjob_pql::{Schema, check, parse};

/// Conditions.
const SEGMENTS: &[&str] = &[
    r#"homeAddress.stateProvince = workAddress.stateProvince"#,
    r#"$1.homeAddress.stateProvince = $1.homeAddress.stateProvince"#,
    r#"X.timestamp occurs before today"#,
    r#"X.timestamp occurs last month"#,
    r#"homeAddress.countryISO = "CA" and person.birthYear = 1985"#,
    r#"homeAddress.countryISO = "CA" or person.birthYear = 1985"#,
    r#"not (homeAddress.countryISO = "CA")"#,
    r#"homeAddress.countryISO != "CA""#,
    r#"person.birthMonth notIn [3, 6, 9]"#,
    r#"person1.favoriteColors.intersection(person2.favoriteColors) = ["red", "blue", "green"]"#,
    r#"person.favoriteCities.subsetOf(person.visitedCities)"#,
    r#"person.orders.storeId.distinct().count() > 1"#,
    r#"person.filter(age >= 21)"#,
    r#"orders.bottomN(price, 5)"#,
    r#"city like "%es%""#,
    r#"person.emailAddress.doesNotEndWith(".com")"#,
    r#"person.name.matches("(?i)^John")"#,
    r#"person.birthdate.getMonth() = 6"#,
    r#"person.birthday.getYear() in [1991, 1992, 1993, 1994, 1995]"#,
    r#"product.saleDate occurs last week"#,
    r#"product.saleDate occurs between date(2015, 1, 8) and date(2017, 7, 1)"#,
    r#"person.birthday occurs = 3 days before today"#,
    r#"timestamp occurs on date(2019,12,31)"#,
    r#"person.age % 5 = 0"#,
    r#"person.homeAddress.isNotNull()"#,
    r#"xEvent[productListItems[SKU="PS"]]"#,
    r#"xEvent[productListItems[SKU="PS" or ^^.person.gender="female"]]"#,
    r#"exists E from xEvent where (E.commerce.item.price > 50), I from E.productListItems where I.SKU = "PS""#,
    r#"forall E from xEvent where (E.commerce.item.price > 50), I from E.productListItems where I.SKU = "PS""#,
    r#"person.birthDate.getMonth() = currentMonth()"#,
    r#"chain(xEvent, timestamp, [A: WHAT(eventType = "addToCart")])"#,
    r#"homeAddress.countryCode = "US" and not(chain(xEvent, timestamp, [X: WHAT(eventType = "addToCart") WHEN(< 8 days before now)]))"#,
    r#"chain(xEvent, timestamp, [A: WHAT(eventType = "homePageView") WHEN(< 24 hours before now) COUNT(5) ] )"#,
    r#"chain(xEvent, timestamp, [X: WHAT(eventType = "homePageView") WHEN(< 24 hours before now)]) and chain(xEvent, timestamp, [X: WHAT(eventType = "checkoutPageView") WHEN(< 24 hours before now)])"#,
    r#"homeAddress.countryCode = "US" and inSegment("existing segment")"#,
    r#"inSegment("a730ed3f-119c-415b-a4ac-27c396ae2dff") and inSegment("8fbbe169-2da6-4c9d-a332-b6a6ecf559b9")"#,
    r#"select var1 from xEvent where var1._experience.analytics.endUser.firstWeb.webPageDetails.isHomePage = false"#,
    r#"workAddress.country.equals("US", false) and CHAIN(xEvent, timestamp, [C0: WHAT(eventType.equals("directMarketing.emailClicked", false)) WHEN(today), C1: WHAT(eventType.equals("commerce.checkouts", false)) WHEN(today)])"#,
    "inSegment(\"e3be6d7f-1727-401f-a41e-c296b45f607a\") and\nCHAIN(xEvent, timestamp, [C0: WHAT(eventType.equals(\"commerce.checkouts\", false))\nWHEN(<= 24 hours before now)])",
    r#"State.equals("AL", "AK", "AZ")"#,
    r#"not(State.equals("VT", "VA", "WA", "WV", "WI", "WY" ))"#,
    r#"plan.equals("trial") AND region.equals("canada")"#,
    r#"chain(xEvent, timestamp, [ A: WHAT(eventType = "productView"), B: WHAT(eventType = "addToCart"), C: WHAT(eventType = "purchase") ])"#,
    r#"xEvent.metrics.commerce.abandons.value > 0"#,
    r#"person.gender in ["male"] and CHAIN(xEvent, timestamp, [C0: WHAT(productListItems.exists(name.equals("MONTANA WIND JACKET", false)))])"#,
    r#"personalEmail.address.endsWith("testxdmmail.com", false)"#,
    r#"profile.person.name.firstName.equals("Joe", false)"#,
    r#"select _Any1 from xEvent where _Any1._experienceplatform.offerContextData.deviceType.equals("iphone", false)"#,
    r#"_acme.downloadsLast7Days > 0"#,
];

/// Numbers, texts, maps and other values.
const VALUES: &[&str] = &[
    r#"if (homeAddress.countryISO = "CA", 1, 2)"#,
    r#"totalProduct.price + totalProduct.sold"#,
    r#"totalProduct.price / totalProduct.sold"#,
    r#"xEvent[(timestamp occurs < 7 days before now) and eventType="download" and contentType = "image"].count()"#,
    r#"xEvent[(timestamp occurs < 7 days before now) and eventType="download"].groupBy(product).map((K, G) => mapEntry(K, G.count()))"#,
    r#"xEvent[(timestamp occurs < 7 days before now) and eventType="download"].groupBy(product).map((K, G) => mapEntry(K, G.average(commerce.order.priceTotal) > 100))"#,
    r#"if(person.gender = "female", 60, 65)"#,
    r#"let Y = xEvent[_coresvc.event.subType = "DOWNLOAD"].groupBy(_coresvc.attributes[name = "product"].value).map({ "downloaded": this.head()._coresvc.attributes[name = "product"].head().value, "downloadsSum": this.count(), "downloadsToday": this[timestamp occurs today].count(), "downloadsPast30Days": this[timestamp occurs < 30 days before now].count() }) in { "uniqueProductDownloadSum": Y.count(), "products": Y }"#,
];

/// Expressions whose outcome depends on types, or that only a decision can compute.
const READ_ONLY: &[&str] = &[
    r#"numbers.map(square)"#,
    r#"select contextData from @{_xdm.context.additionalParameters;version=1} where contextData.features AND (select personetic from contextData.features where personetic.contains("123"))"#,
    r#"if( offer.selectionConstraint.endDate occurs <= 24 hours after now, offer.rank.priority * 3, offer.rank.priority)"#,
    r#"if( segmentMembership.get("ups").get(offer.characteristics.get("prioritySegmentId")).status in (["realized","existing"]), offer.rank.priority + 10, offer.rank.priority)"#,
    r#"if( offer.characteristics.get("city") = homeAddress.city, offer.rank.priority * 2, offer.rank.priority)"#,
    r#"if (@{_xdm.context.additionalParameters;version=1}.channel.isNotNull() and @{_xdm.context.additionalParameters;version=1}.channel.equals(_abcMobile.preferredChannel), offer.rank.priority + 10, offer.rank.priority)"#,
    r#"(Profile) => Profile.homeAddress.stateProvince = Profile.workAddress.stateProvince"#,
];

#[test]
fn expressions_of_the_documentation_are_read_and_printed() {
    for text in SEGMENTS.iter().chain(VALUES).chain(READ_ONLY) {
        let expr = parse(text).unwrap_or_else(|error| panic!("{}", error.render(text)));
        assert_eq!(parse(&expr.to_string()).unwrap(), expr, "{text}");
    }
}

#[test]
fn conditions_are_segments_and_other_values_are_not() {
    for text in SEGMENTS {
        let typed =
            check(&parse(text).unwrap(), &Schema::any()).unwrap_or_else(|error| panic!("{}", error.render(text)));
        typed
            .into_segment()
            .unwrap_or_else(|error| panic!("{}", error.render(text)));
    }
    for text in VALUES {
        let typed =
            check(&parse(text).unwrap(), &Schema::any()).unwrap_or_else(|error| panic!("{}", error.render(text)));
        assert!(typed.into_segment().is_err(), "{text}");
    }
}
