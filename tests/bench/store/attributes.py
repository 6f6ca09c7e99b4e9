"""The customer's own columns: 32 leaf fields of profile records, and those of events."""

import numpy as np
import pyarrow as pa

from .columns import chosen, decimal, masked, offsets, structure, times

FIRST_NAMES = ["Ada", "Alan", "Amina", "Anders", "Anna", "Bela", "Carla", "Chen", "Dana", "Diego", "Elif", "Emil", "Eva",
               "Farid", "Femi", "Grace", "Hana", "Hugo", "Ines", "Ivan", "Jaya", "Joao", "Jonas", "Kai", "Lara", "Lena",
               "Leo", "Lin", "Mara", "Marie", "Mateo", "Mei", "Mia", "Milan", "Nadia", "Noah", "Nora", "Olga", "Omar",
               "Paul", "Petra", "Priya", "Rosa", "Sami", "Sara", "Sven", "Tara", "Tom", "Yara", "Zoe"]  # fmt: skip
LAST_NAMES = ["Abe", "Ahmed", "Almeida", "Andersen", "Bauer", "Becker", "Bianchi", "Brown", "Castro", "Chen", "Costa",
              "Diaz", "Dubois", "Eriksson", "Fischer", "Garcia", "Gruber", "Haddad", "Hansen", "Ito", "Ivanova", "Jansen",
              "Johnson", "Kaya", "Khan", "Kim", "Klein", "Kowalska", "Kumar", "Larsen", "Lopez", "Martin", "Meyer",
              "Moreau", "Nagy", "Nguyen", "Novak", "Okafor", "Olsen", "Papadaki", "Patel", "Peeters", "Ricci", "Rossi",
              "Sato", "Schmidt", "Silva", "Singh", "Smith", "Tanaka", "Virtanen", "Wagner", "Weber", "Wong"]  # fmt: skip
TITLES = ["Dr.", "Prof.", "Ms", "Mr", "Mx"]
GENDERS = ["female", "male", "non_specific", "not_specified"]
STREETS = ["Linden Street", "Station Road", "High Street", "Mill Lane", "Church Road", "Park Avenue", "Garden Street",
           "River Road", "Market Square", "Hill Street", "Forest Way", "Harbour Quay"]  # fmt: skip
CITIES = ["Aarhus", "Bergen", "Bilbao", "Bologna", "Bristol", "Brno", "Cork", "Dresden", "Gdansk", "Ghent", "Graz",
          "Lisbon", "Lyon", "Malmo", "Porto", "Riga", "Seville", "Split", "Tampere", "Turin", "Utrecht"]  # fmt: skip
REGIONS = ["north", "south", "east", "west", "centre", "coast", "hills"]
COUNTRIES = ["AT", "BE", "CZ", "DE", "DK", "ES", "FI", "FR", "GB", "HR", "IE", "IT", "LV", "NL", "NO", "PL", "PT", "SE"]
TIERS = ["bronze", "silver", "gold", "platinum"]
STATES = ["active", "incomplete", "blacklisted", "blocked"]
CHOICES = ["y", "n", "p", "u"]
LANGUAGES = ["cs", "da", "de", "en", "es", "fi", "fr", "hr", "it", "lv", "nl", "no", "pl", "pt", "sv"]
ZONES = ["Europe/Berlin", "Europe/Lisbon", "Europe/London", "Europe/Madrid", "Europe/Paris", "Europe/Riga"]
DEVICES = ["phone", "tablet", "desktop", "television"]
INTERESTS = ["books", "cooking", "cycling", "films", "football", "gardens", "hiking", "music", "painting", "sailing"]
SCORES = ["churn", "reach", "spend", "visits"]
EVENT_TYPES = ["web.webpagedetails.pageViews", "commerce.productViews", "commerce.productListAdds", "commerce.checkouts",
               "commerce.purchases", "advertising.clicks"]  # fmt: skip
PAGES = ["home", "search", "category", "product", "basket", "checkout", "account", "help", "stores", "news"]

# How often each source fills a field (crm, web, app, pos), by kind of field.
CRM_KNOWS = (0.95, 0.15, 0.3, 0.1)
WEB_KNOWS = (0.05, 0.8, 0.7, 0.0)
TILL_KNOWS = (0.4, 0.1, 0.3, 0.9)
SELDOM = (0.3, 0.05, 0.1, 0.02)


def columns(rng, dataset, ingested, names):
    """The attributes of profile records of these datasets."""
    size = len(dataset)

    def known(shares):
        return rng.random(size) < np.array(shares)[dataset]

    def word(words, shares):
        return chosen(words, rng.integers(0, len(words), size), known(shares))

    def number(low, high, shares):
        return np.round(rng.uniform(low, high, size), 2), known(shares)

    def moment(shares):
        return times(ingested - rng.integers(0, 400 * 86_400, size) * 1_000_000, known(shares))

    def usual(words, index):
        """Most sources spell it alike."""
        other = rng.random(size) < 0.08
        return chosen(words, np.where(other, rng.integers(0, len(words), size), index), known(CRM_KNOWS))

    domains = np.array([f"@{place}.example" for place in ("mail", "post", "inbox", "work")])
    return {
        "person": structure(
            name=structure(
                title=word(TITLES, SELDOM), first=usual(FIRST_NAMES, names[0]),
                middle=word(FIRST_NAMES, SELDOM), last=usual(LAST_NAMES, names[1]),
            ),
            gender=word(GENDERS, CRM_KNOWS),
            birthDate=masked(rng.integers(-9_000, 14_000, size).astype(np.int32), known(CRM_KNOWS), pa.int32()).cast(pa.date32()),
        ),
        "personalEmail": structure(
            address=mail_addresses(rng, size, known((0.9, 0.5, 0.6, 0.2)), domains), status=word(STATES, CRM_KNOWS)
        ),
        "mobilePhone": structure(
            number=decimal(rng.integers(0, 10**10, size), 10, b"+49", known(CRM_KNOWS)), status=word(STATES, SELDOM)
        ),
        "homeAddress": structure(
            street1=word(STREETS, CRM_KNOWS), street2=word(REGIONS, SELDOM), city=word(CITIES, CRM_KNOWS),
            region=word(REGIONS, SELDOM), postalCode=decimal(rng.integers(0, 10**5, size), 5, b"", known(CRM_KNOWS)),
            countryCode=word(COUNTRIES, CRM_KNOWS), latitude=masked(*number(36, 70, SELDOM)),
            longitude=masked(*number(-10, 30, SELDOM)),
        ),
        "loyalty": structure(
            tier=word(TIERS, TILL_KNOWS), points=masked(rng.integers(0, 50_000, size), known(TILL_KNOWS)),
            balance=masked(*number(0, 900, TILL_KNOWS)), joined=moment(TILL_KNOWS), status=word(STATES, SELDOM),
        ),
        "consents": structure(
            email=structure(val=word(CHOICES, CRM_KNOWS), time=moment(CRM_KNOWS)),
            sms=structure(val=word(CHOICES, SELDOM)),
            personalize=structure(val=word(CHOICES, WEB_KNOWS)),
        ),
        "preferredLanguage": word(LANGUAGES, CRM_KNOWS),
        "timeZone": word(ZONES, WEB_KNOWS),
        "web": structure(device=word(DEVICES, WEB_KNOWS)),
        "interests": interests(rng, size, known((0.2, 0.5, 0.6, 0.0))),
        "scores": scores(rng, size, known((0.3, 0.4, 0.2, 0.1))),
    }  # fmt: skip


def mail_addresses(rng, size, valid, domains):
    import pyarrow.compute as pc

    name = chosen([name.lower() for name in LAST_NAMES], rng.integers(0, len(LAST_NAMES), size), valid)
    digits = decimal(rng.integers(0, 10**7, size), 7)
    return pc.binary_join_element_wise(name, digits, chosen(domains, rng.integers(0, len(domains), size)), "")


def interests(rng, size, valid):
    lengths = np.where(valid, rng.integers(0, 5, size), 0)
    total = int(lengths.sum())
    return pa.ListArray.from_arrays(offsets(lengths, valid), chosen(INTERESTS, rng.integers(0, len(INTERESTS), total)))


def scores(rng, size, valid):
    """Maps with the first one to four keys: no key comes twice."""
    lengths = np.where(valid, rng.integers(1, len(SCORES) + 1, size), 0)
    total = int(lengths.sum())
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    values = masked(np.round(rng.random(total), 3), None)
    return pa.MapArray.from_arrays(offsets(lengths, valid), chosen(SCORES, np.arange(total) - starts), values)


def event_columns(rng, size):
    """The fields of experience events: a page view more often than not, a purchase with its products at times."""
    kind = rng.choice(len(EVENT_TYPES), size=size, p=[0.55, 0.22, 0.1, 0.05, 0.05, 0.03])
    viewed, bought = kind == 0, kind >= 3
    products = np.where(bought, rng.integers(1, 5, size), np.where(kind == 2, 1, 0))
    total = int(products.sum())
    items = structure(
        SKU=decimal(rng.integers(0, 20_000, total), 6, b"SKU-"),
        quantity=masked(rng.integers(1, 4, total).astype(np.int32), None),
        priceTotal=masked(np.round(rng.gamma(2, 20, total), 2), None),
    )
    price = np.round(rng.gamma(2, 45, size), 2)
    return {
        "eventType": chosen(EVENT_TYPES, kind),
        "commerce": structure(
            order=structure(
                purchaseID=decimal(rng.integers(0, 10**9, size), 9, b"P", bought),
                priceTotal=masked(price, bought), currencyCode=chosen(["EUR", "GBP", "SEK"], rng.integers(0, 3, size), bought),
            ),
            purchases=structure(value=masked(np.ones(size), kind == 4)),
            productViews=structure(value=masked(np.ones(size), kind == 1)),
        ),
        "productListItems": pa.ListArray.from_arrays(offsets(products, products > 0), items),
        "web": structure(
            webPageDetails=structure(
                name=chosen(PAGES, rng.integers(0, len(PAGES), size), viewed),
                pageViews=structure(value=masked(np.ones(size), viewed)),
            )
        ),
        "device": structure(type=chosen(DEVICES, rng.integers(0, len(DEVICES), size), rng.random(size) < 0.8)),
    }  # fmt: skip
