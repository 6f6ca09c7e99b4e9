"""Prints what the raw file alone says of the sample segments, by SQL: customers in each, and purchases."""

import argparse

import facts

QUERIES = [
    ("customers", "SELECT count(*) FROM customer"),
    ("purchases", "SELECT count(*) FROM purchase"),
    ("bought twice or more by 1997-06-30, and not left since", "SELECT count(*) FROM mid_1997 WHERE number % 7 <> 0"),
    ("  of these, with a record in crm or web", """
        SELECT count(*) FROM mid_1997 JOIN customer USING (sample)
        WHERE mid_1997.number % 7 <> 0 AND (in_crm OR in_web)"""),
    ("bought in 1998", "SELECT count(*) FROM in_1998 WHERE last >= '1998-01-01'"),
    ("spent 100 dollars or more", "SELECT count(*) FROM spent_100"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", required=True, help="CDNOW_sample.txt")
    base = facts.load(parser.parse_args().raw)
    for text, query in QUERIES:
        print(f"{text:56} {base.execute(query).fetchone()[0]:6}")


if __name__ == "__main__":
    main()
