"""A server of trades, on python3-websockets, and what the tests of feeds that follow it share."""

import asyncio
import json
import threading

import websockets

from feeds import FeedTest
from harness import TIMEOUT_S, RpcError, wait_for

SECRET = "s3cret/\"value\""


class Upstream:
    """A server on a thread of its own. What it was sent is in `heard`; send() is to all that are
    connected; greeting(): what each gets first."""

    def __init__(self, greeting=None):
        self.heard = []
        self.headers = []
        self.connected = set()
        self.greeting = greeting
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.ready.wait(TIMEOUT_S)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._listen(0))
        self.ready.set()
        self.loop.run_forever()

    async def _listen(self, port):
        self.server = await websockets.serve(self._serve, "127.0.0.1", port, ping_interval=None,
                                             max_size=None)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, ws):
        self.headers.append(dict(ws.request_headers.raw_items()))
        for text in self.greeting or ():
            await ws.send(text)
        self.connected.add(ws)
        try:
            async for message in ws:
                self.heard.append(message)
        except websockets.ConnectionClosed:
            pass
        finally:
            self.connected.discard(ws)

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/feed"

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT_S)

    def send(self, *messages):
        async def send():
            for message in messages:
                for ws in list(self.connected):
                    await ws.send(message)
        self._call(send())

    def drop(self):
        """Ends all connections."""
        async def drop():
            for ws in list(self.connected):
                await ws.close(1012, "restart")
        self._call(drop())

    def close(self):
        async def close():
            self.server.close()
            await self.server.wait_closed()
        self._call(close())

    def open_again(self):
        self._call(self._listen(self.port))

    def stop(self):
        self.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT_S)
        self.loop.close()


def trade(product, price, at=None):
    return json.dumps({"type": "trade", "product": product, "price": price,
                       **({"at": at} if at else {})})


TRADES = {"where": '{"/type":"trade"}', "category": "ticker", "id": "{/product}"}


class Basics(FeedTest):
    def upstream(self, **options):
        server = Upstream(**options)
        self.addCleanup(server.stop)
        return server

    def connected(self, server, n=1):
        wait_for(lambda: len(server.connected) == n, what=f"{n} connections")

    def get(self, category, key):
        return self.control.call("record.get", category=category, id=key)["record"]

    def wait_record(self, category, key, is_it):
        def look():
            try:
                record = self.get(category, key)
            except RpcError as error:
                if error.code != "NOT_FOUND":
                    raise
                return None
            return record if is_it(record["data"]) else None
        return wait_for(look, what=f"{category}/{key}")
