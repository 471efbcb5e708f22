"""An app's client: talks to an edge in Protobuf frames over WebSocket, as a phone does.

Type "bob hello there" to say "hello there" to bob; what others say is printed. The order of
frames and the meaning of close codes: docs/EDGE_PROTOCOL.md.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Coroutine

import generated  # noqa: F401  (before the modules below it)
from google.protobuf.message import Message as Encodable
from parley.edge.v1 import frame_pb2
from parley.message.v1 import message_pb2, message_service_pb2
from parley.session.v1 import session_service_pb2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

SESSIONS = "parley.session.v1.SessionService/"
MESSAGES = "parley.message.v1.MessageService/"
# A result is at most 4 MB, whatever else a frame holds is less.
FRAME_BYTES_MAX = 5 << 20
TOKEN_EXPIRED = 4005
# gRPC's codes after which a send may have happened or not: it is made again.
TRY_AGAIN = {4, 8, 14}


class SignedOut(Exception):
    """The sign-in has been ended: sign in again."""


class Refused(Exception):
    """A call was answered with an error; the arguments are its HTTP status or code, and the text."""


class Account:
    """Signing in goes over HTTP: each public method is a POST of its request, here in Protobuf."""

    def __init__(self, url: str):
        self.url = url
        self.user_id = self.access_token = self.refresh_token = ""

    def sign_in(self, name: str, password: str, sign_up: bool) -> None:
        who = {"password": password, "device_name": "app in Python"}
        answer = None
        if sign_up:
            request = session_service_pb2.SignUpRequest(username=name, **who)
            try:
                answer = self.post(SESSIONS + "SignUp", request, session_service_pb2.SignUpResponse)
            except Refused as refused:
                # The name is taken, perhaps by the same person before.
                if refused.args[0] != 409:
                    raise
        if answer is None:
            request = session_service_pb2.LogInRequest(login=name, **who)
            answer = self.post(SESSIONS + "LogIn", request, session_service_pb2.LogInResponse)
        self.user_id = answer.user.user_id
        self._keep(answer.tokens)

    def refresh(self) -> None:
        """A refresh token works once; an app stores the next one before it goes on."""
        request = session_service_pb2.RefreshTokensRequest(refresh_token=self.refresh_token)
        response_type = session_service_pb2.RefreshTokensResponse
        try:
            self._keep(self.post(SESSIONS + "RefreshTokens", request, response_type).tokens)
        except Refused as refused:
            if refused.args[0] == 401:
                raise SignedOut(SignedOut.__doc__) from refused
            raise

    def post(self, method: str, request: Encodable, response_type):
        headers = {"content-type": "application/proto"}
        if self.access_token:
            headers["authorization"] = f"Bearer {self.access_token}"
        url = f"{self.url}/{method}"
        post = urllib.request.Request(url, request.SerializeToString(), headers)
        try:
            with urllib.request.urlopen(post, timeout=15) as answer:
                return response_type.FromString(answer.read())
        except urllib.error.HTTPError as error:
            # Errors are JSON: {"code": …, "message": …, "details": […]}.
            raise Refused(error.code, error.read().decode()) from error

    def _keep(self, tokens) -> None:
        self.access_token, self.refresh_token = tokens.access_token, tokens.refresh_token


class Client:
    """What outlives a connection: the position, what was seen, what is not acknowledged.

    An app keeps all of it on disk, and stores the position together with the messages.
    """

    def __init__(self, account: Account):
        self.account = account
        self.inbox_epoch = ""
        self.inbox_sequence = self.max_message_id = 0
        # The channel_sequence that was seen last, by channel: what is not greater is a repetition.
        self.seen: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.channels: dict[str, str] = {}
        self.request_ids = itertools.count(1)
        self.unsent: dict[int, frame_pb2.Send] = {}
        self.results: dict[int, asyncio.Future] = {}
        self.arrived: asyncio.Queue[message_pb2.Message] = asyncio.Queue()
        self.socket: ClientConnection | None = None
        # What goes on beside the reading while there is a connection.
        self.tasks: set[asyncio.Task] = set()

    async def connect(self) -> None:
        """Connects, signs in and takes frames until the connection ends, which raises."""
        url = self.account.url.replace("http", "ws", 1) + "/ws"
        protocols = [Subprotocol("parley.v1.protobuf")]
        async with connect(url, subprotocols=protocols, max_size=FRAME_BYTES_MAX) as socket:
            # Hello comes first, and nothing else before Welcome.
            hello = frame_pb2.Hello(
                access_token=self.account.access_token,
                inbox_epoch=self.inbox_epoch,
                inbox_sequence=self.inbox_sequence,
                cur_max_message_id=self.max_message_id,
            )
            await socket.send(frame_pb2.ClientFrame(hello=hello).SerializeToString())
            try:
                while True:
                    encoded = await socket.recv(decode=False)
                    await self._take(frame_pb2.ServerFrame.FromString(encoded), socket)
            finally:
                self._disconnected()

    async def _take(self, frame: frame_pb2.ServerFrame, socket: ClientConnection) -> None:
        match frame.WhichOneof("frame"):
            case "welcome":
                self.inbox_epoch = frame.welcome.inbox_epoch
                self.inbox_sequence = frame.welcome.inbox_sequence
                self.socket = socket
                # What was not acknowledged may have arrived or not. Sent again with the same
                # client_message_id it is stored once.
                for send in list(self.unsent.values()):
                    await self._write(send=send)
                self._begin(self._beat(frame.welcome.heartbeat_interval_ms / 1000))
            case "deliveries":
                await self._deliver(frame.deliveries)
            case "caught_up":
                log("connected")
            case "reset":
                # The inbox no longer holds what was missed: an app reads it from the history.
                self.inbox_sequence = frame.reset.inbox_sequence
            case "send_result":
                self._sent(frame.send_result)
            case "result":
                waiting = self.results.pop(frame.result.request_id, None)
                if waiting and not waiting.done():
                    waiting.set_result(frame.result)

    async def _beat(self, interval: float) -> None:
        """Without it the edge takes the connection for dead, and the user for gone."""
        while self.socket:
            await asyncio.sleep(interval)
            await self._write(heartbeat=frame_pb2.Heartbeat())

    async def _deliver(self, deliveries: frame_pb2.Deliveries) -> None:
        for delivery in deliveries.deliveries:
            for item in delivery.entry.items:
                if item.HasField("message"):
                    self._see(item.message)
            self.inbox_sequence = delivery.inbox_sequence
        ack = frame_pb2.Ack(
            inbox_sequence=self.inbox_sequence, cur_max_message_id=self.max_message_id
        )
        await self._write(ack=ack)

    def _see(self, message: message_pb2.Message) -> None:
        if message.channel_sequence <= self.seen.get(message.channel_id, 0):
            return
        self.seen[message.channel_id] = message.channel_sequence
        self.max_message_id = max(self.max_message_id, message.message_id)
        if message.WhichOneof("body") == "text" and message.sender_id != self.account.user_id:
            self.arrived.put_nowait(message)

    async def show(self) -> None:
        """Prints what arrives. Beside the reading: names come from calls, whose answers it reads."""
        while True:
            message = await self.arrived.get()
            print(f"{await self._name_of(message.sender_id)}: {message.text}", flush=True)

    async def say(self, to: str, text: str) -> None:
        """Sends a text to a user, now or when there is a connection."""
        request = message_service_pb2.SendMessageRequest(
            channel_id=await self._channel_with(to), client_message_id=uuid7(), text=text
        )
        send = frame_pb2.Send(request_id=next(self.request_ids), request=request)
        self.unsent[send.request_id] = send
        if self.socket:
            await self._write(send=send)

    def _sent(self, result: frame_pb2.SendResult) -> None:
        send = self.unsent.get(result.request_id)
        if not send:
            return
        if result.error.code in TRY_AGAIN:
            pause = max(1, result.error.retry_after_ms / 1000)
            self._begin(self._send_later(send, pause))
            return
        del self.unsent[result.request_id]
        if result.HasField("error"):
            log(f"refused: {result.error.reason}: {result.error.message}")

    async def _send_later(self, send: frame_pb2.Send, pause: float) -> None:
        await asyncio.sleep(pause)
        await self._write(send=send)

    async def _channel_with(self, name: str) -> str:
        """The channel of two users; it is made when the first of them asks for it."""
        if name not in self.channels:
            users = await self._call(
                SESSIONS + "ListUsers",
                session_service_pb2.ListUsersRequest(usernames=[name]),
                session_service_pb2.ListUsersResponse,
            )
            if not users.users:
                raise Refused("NOT_FOUND", f"there is no {name}")
            made = await self._call(
                MESSAGES + "CreateDirectChannel",
                message_service_pb2.CreateDirectChannelRequest(user_id=users.users[0].user_id),
                message_service_pb2.CreateDirectChannelResponse,
            )
            self.channels[name] = made.channel.channel_id
        return self.channels[name]

    async def _name_of(self, user_id: str) -> str:
        if user_id not in self.names:
            try:
                users = await self._call(
                    SESSIONS + "ListUsers",
                    session_service_pb2.ListUsersRequest(user_ids=[user_id]),
                    session_service_pb2.ListUsersResponse,
                )
            except (ConnectionError, Refused):
                return user_id
            self.names[user_id] = users.users[0].username if users.users else user_id
        return self.names[user_id]

    async def _call(self, method: str, request: Encodable, response_type):
        """Calls a public method of any service over the socket."""
        request_id = next(self.request_ids)
        waiting = self.results[request_id] = asyncio.get_running_loop().create_future()
        encoded = request.SerializeToString()
        try:
            call = frame_pb2.Call(request_id=request_id, method=method, protobuf=encoded)
            await self._write(call=call)
            result = await waiting
        finally:
            self.results.pop(request_id, None)
        if result.HasField("error"):
            raise Refused(result.error.reason, result.error.message)
        return response_type.FromString(result.protobuf)

    def _begin(self, doing: Coroutine) -> None:
        task = asyncio.create_task(doing)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _disconnected(self) -> None:
        """Calls that are unanswered when a connection breaks are given up; sends are kept."""
        self.socket = None
        for task in self.tasks:
            task.cancel()
        for waiting in self.results.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the connection broke"))

    async def _write(self, **frame) -> None:
        """Where the connection breaks meanwhile, the reading notices."""
        if not self.socket:
            raise ConnectionError("not connected")
        with contextlib.suppress(ConnectionClosed):
            await self.socket.send(frame_pb2.ClientFrame(**frame).SerializeToString())


def uuid7() -> str:
    """RFC 9562: milliseconds since 1970, then chance."""
    octets = bytearray(16)
    octets[:6] = (time.time_ns() // 1_000_000).to_bytes(6)
    octets[6:] = os.urandom(10)
    octets[6] = octets[6] & 0x0F | 0x70
    octets[8] = octets[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(octets)))


async def stay_connected(client: Client) -> None:
    """Comes back whenever that makes sense, after pauses that grow from 1 to 30 s."""
    pause = 1.0
    expired = False
    while True:
        began = time.monotonic()
        try:
            if expired:
                await asyncio.to_thread(client.account.refresh)
                expired = False
            await client.connect()
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            if code >= 4500:
                raise
            expired = code == TOKEN_EXPIRED
            log(f"not connected, comes back: {closed}")
        except (OSError, InvalidHandshake, Refused) as error:
            # An edge that starts or ends takes the connection and says nothing, or 503.
            log(f"not connected, comes back: {error}")
        if time.monotonic() - began > 60:
            pause = 1.0
        await asyncio.sleep(random.uniform(0, pause))
        pause = min(2 * pause, 30.0)


async def read_lines(client: Client) -> None:
    lines = asyncio.StreamReader(limit=512 * 1024)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async for line in lines:
        to, _, text = line.decode().rstrip("\n").partition(" ")
        if not text:
            log("type: NAME TEXT")
            continue
        try:
            await client.say(to, text)
        except (ConnectionError, Refused) as error:
            log(f"not sent: {error}")


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def run(options: argparse.Namespace) -> None:
    account = Account(options.url)
    account.sign_in(options.name, options.password, options.sign_up)
    client = Client(account)
    beside = [asyncio.create_task(client.show()), asyncio.create_task(read_lines(client))]
    try:
        await stay_connected(client)
    except (ConnectionClosed, SignedOut) as ended:
        sys.exit(f"the connection is over: {ended}")
    finally:
        for task in beside:
            task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the edge")
    parser.add_argument("--name", required=True, help="your user name")
    parser.add_argument("--password", default="", help="your password")
    parser.add_argument("--sign-up", action="store_true", help="make the account first")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
