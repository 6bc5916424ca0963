"""Traffic as of a market, made of real flights (of the npm package vega-datasets, which packaging/deps
long puts into the cache) or, where a test is short, of invented ones: a flight is a trade of its route,
its distance the price, its delay the size. And what of it has to be stored.
"""

import csv
import itertools
import os
import random
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sysrt" / "vega-datasets"
FLIGHTS = CACHE / "flights-3m.csv"
START_MS = 978_307_200_000  # the first of January 2001

# Three feeds of one upstream: each trade under an id of its own; of each route the newest ticker, and
# the newest of each price of its book.
MAPPINGS = {
    "trades": {"where": '{"/type":"match"}', "category": "trades", "id": "{/sequence}",
               "name": "{/product_id} {/sequence}", "data": "{}", "time": "{/at}"},
    "ticker": {"where": '{"/type":"ticker"}', "category": "ticker.{/product_id}", "id": "last",
               "name": "{/product_id}", "data": "{/ticker}"},
    "book": {"where": '{"/type":"l2update"}', "split": "/changes", "category": "book",
             "id": "{$/product_id}:{/side}:{/price}", "name": "{{{$/product_id}}}", "data": "{/size}"},
}


def real_flights():
    if not FLIGHTS.exists():
        raise AssertionError(f"{FLIGHTS} is missing: sh packaging/deps long")
    with open(FLIGHTS, newline="", encoding="ascii") as file:
        rows = [(r["origin"], r["destination"], int(r["distance"]), int(r["delay"]))
                for r in csv.DictReader(file)]
    return itertools.cycle(rows)


def invented_flights():
    rng = random.Random(2001)
    places = ["".join(rng.choices("ABCDEFGHIJ", k=3)) for _ in range(40)]
    while True:
        yield (*rng.sample(places, 2), rng.randrange(100, 2500), rng.randrange(-20, 200))


class Market:
    """Makes messages one by one; `records` is what is stored when all of them went through each of the
    MAPPINGS: {feed: {(category, id): (name, data)}}."""

    def __init__(self, is_real):
        self.flights = real_flights() if is_real else invented_flights()
        self.records = {name: {} for name in MAPPINGS}
        self.made = 0

    def messages(self, n):
        for _ in range(n):
            yield self.message()

    def message(self):
        origin, destination, distance, delay = next(self.flights)
        number, route = self.made, f"{origin}-{destination}"
        self.made += 1
        kind = number % 10
        if kind < 6:
            return self.trade(number, route, distance, delay)
        if kind < 8:
            return self.ticker(number, route, distance, delay)
        if kind < 9:
            return self.book(number, route, distance, delay)
        return f'{{"type":"heartbeat","sequence":{number},"last_trade_id":{number - 1}}}'

    def trade(self, number, route, distance, delay):
        text = (f'{{"type":"match","sequence":{number},"product_id":"{route}",'
                f'"price":"{distance}.{number % 100:02}","size":{delay}.50,'
                f'"side":"{"buy" if delay < 0 else "sell"}","at":{START_MS + number}}}')
        self.records["trades"]["trades", str(number)] = (f"{route} {number}", text)
        return text

    def ticker(self, number, route, distance, delay):
        data = (f'{{"price":"{distance}.{number % 100:02}","open_24h":{distance}.0,'
                f'"volume":{number * 1000003}.125e-3,"note":"\\u0394 {delay} ✈","best":[{delay},null]}}')
        self.records["ticker"][f"ticker.{route}", "last"] = (route, data)
        return f'{{"type": "ticker", "sequence": {number}, "product_id": "{route}", "ticker": {data}}}'

    def book(self, number, route, distance, delay):
        changes = []
        for i in range(1 + number % 3):
            side, price, size = ("bid", "ask")[i % 2], distance + i * 10 + delay % 10, f"{number}.{i}0"
            changes.append(f'{{"side":"{side}","price":"{price}","size":"{size}"}}')
            self.records["book"]["book", f"{route}:{side}:{price}"] = (f"{{{route}}}", f'"{size}"')
        return f'{{"type":"l2update","product_id":"{route}","changes":[{",".join(changes)}]}}'
