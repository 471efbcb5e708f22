"""A bot that answers messages that mention it, over gRPC, as the device of an ordinary account.

    signs up or logs in       SessionService
    follows its inbox         MessageService.Follow
    answers                   MessageService.SendMessage

It may be killed at any moment and started again, and its connection may break: nothing that
mentions it goes unanswered, and nothing is answered twice.
"""

import argparse
import hashlib
import json
import os
import random
import re
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import generated  # noqa: F401  (before the modules below it)
import grpc
from grpc import StatusCode
from parley.message.v1 import inbox_pb2, message_pb2, message_service_pb2, message_service_pb2_grpc
from parley.session.v1 import session_pb2, session_service_pb2, session_service_pb2_grpc

PAUSE_MIN, PAUSE_MAX = 1.0, 30.0
TRY_AGAIN = {StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED, StatusCode.RESOURCE_EXHAUSTED}
# After these coming back makes no sense: the contract of Follow says so.
FINAL = {
    StatusCode.ABORTED,
    StatusCode.INVALID_ARGUMENT,
    StatusCode.PERMISSION_DENIED,
    StatusCode.UNIMPLEMENTED,
}


class SignedOut(Exception):
    """The bot's sign-in has been ended: remove its state file and start it with a password."""


@dataclass
class State:
    """What the bot remembers from one start to the next."""

    user_id: str = ""
    access_token: str = ""
    access_expires: float = 0
    refresh_token: str = ""
    # The bot's position in its inbox: everything up to it has been dealt with.
    inbox_epoch: str = ""
    inbox_sequence: int = 0
    cur_max_message_id: int = 0

    @classmethod
    def load(cls, path: Path) -> "State":
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path) -> None:
        """A crash leaves the old file or the new one. For its owner alone: it holds tokens."""
        following = path.with_name(path.name + ".next")
        with open(os.open(following, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
        following.replace(path)


class Account:
    """An account's device, and the tokens that it signs its calls with."""

    def __init__(self, link: grpc.Channel, state: State, path: Path):
        self.sessions = session_service_pb2_grpc.SessionServiceStub(link)
        self.state = state
        self.path = path

    def sign_in(self, name: str, password: str, sign_up: bool) -> None:
        """Signing up and logging in need no token; what they answer is kept."""
        answer = self._sign_up(name, password) if sign_up else None
        if answer is None:
            request = session_service_pb2.LogInRequest(
                login=name, password=password, device_name="bot in Python"
            )
            answer = self.sessions.LogIn(request, timeout=15)
        self.state.user_id = answer.user.user_id
        self._keep(answer.tokens)

    def credentials(self) -> list[tuple[str, str]]:
        """The metadata of a call. A token lives for minutes: renewed when less than one is left."""
        if self.state.access_expires - time.time() < 60:
            self.refresh()
        return [("authorization", f"Bearer {self.state.access_token}")]

    def refresh(self) -> None:
        """A refresh token works once. The next one is stored before anything else is done."""
        request = session_service_pb2.RefreshTokensRequest(refresh_token=self.state.refresh_token)
        try:
            self._keep(self.sessions.RefreshTokens(request, timeout=5).tokens)
        except grpc.RpcError as error:
            if error.code() == StatusCode.UNAUTHENTICATED:
                raise SignedOut(SignedOut.__doc__) from error
            raise

    def _sign_up(self, name: str, password: str):
        request = session_service_pb2.SignUpRequest(
            username=name, password=password, device_name="bot in Python"
        )
        try:
            return self.sessions.SignUp(request, timeout=15)
        except grpc.RpcError as error:
            if error.code() == StatusCode.ALREADY_EXISTS:
                return None
            raise

    def _keep(self, tokens: session_pb2.Tokens) -> None:
        self.state.access_token = tokens.access_token
        self.state.access_expires = tokens.access_expire_time.seconds
        self.state.refresh_token = tokens.refresh_token
        self.state.save(self.path)


class Bot:
    def __init__(self, link: grpc.Channel, account: Account, name: str):
        self.messages = message_service_pb2_grpc.MessageServiceStub(link)
        self.account = account
        self.state = account.state
        # "@name", and not the beginning of a longer name.
        self.mention = re.compile(rf"@{re.escape(name)}(?![\w-])", re.IGNORECASE)

    def follow(self) -> None:
        """Follows the inbox from the bot's position until the stream breaks, which raises.

        The position moves only after an entry has been dealt with, so whatever breaks, it is
        followed from the right place.
        """
        request = message_service_pb2.FollowRequest(
            inbox_epoch=self.state.inbox_epoch,
            inbox_sequence=self.state.inbox_sequence,
            cur_max_message_id=self.state.cur_max_message_id,
        )
        stream = self.messages.Follow(request, metadata=self.account.credentials())
        try:
            # Nothing else is read while a message is answered: Parley waits, and reads the rest
            # of the inbox for the bot when it is back.
            for response in stream:
                self._take(response)
        except grpc.RpcError as error:
            # With new tokens it may go on; or the sign-in has been ended, which this finds out.
            if error.code() == StatusCode.UNAUTHENTICATED:
                self.account.refresh()
            raise
        finally:
            stream.cancel()

    def _take(self, response: message_service_pb2.FollowResponse) -> None:
        match response.WhichOneof("event"):
            case "started":
                self.state.inbox_epoch = response.started.inbox_epoch
                self._go_on_from(response.started.inbox_sequence, response.started.reset_reason)
            case "reset":
                self._go_on_from(response.reset.inbox_sequence, response.reset.reason)
            case "deliveries":
                for delivery in response.deliveries.deliveries:
                    self._deal_with(delivery)
                self._mark_delivered()
            case "caught_up":
                say(f"caught up at {response.caught_up.inbox_sequence}")

    def _go_on_from(self, sequence: int, reason: int) -> None:
        """A reason says that the inbox can't continue from the bot's position.

        What lies between is only in the history. A bot that must not miss it reads it there
        (ListChannels, then ListMessages with after_message_id); this one lets it go.
        """
        if reason:
            say(f"goes on from {sequence}: {inbox_pb2.InboxResetReason.Name(reason)}")
        self.state.inbox_sequence = sequence
        self.state.save(self.account.path)

    def _deal_with(self, delivery: inbox_pb2.InboxDelivery) -> None:
        for item in delivery.entry.items:
            # Kinds of items that came after this program are unset.
            if item.HasField("message"):
                self._answer(item.message)
                greatest = max(self.state.cur_max_message_id, item.message.message_id)
                self.state.cur_max_message_id = greatest
        self.state.inbox_sequence = delivery.inbox_sequence
        self.state.save(self.account.path)

    def _mark_delivered(self) -> None:
        """For a bot that loses its file. Tried once: the next makes up for one that is lost."""
        cursor = message_pb2.DeviceCursor(
            inbox_epoch=self.state.inbox_epoch,
            inbox_sequence=self.state.inbox_sequence,
            cur_max_message_id=self.state.cur_max_message_id,
        )
        request = message_service_pb2.MarkDeliveredRequest(cursor=cursor)
        try:
            self._call_once(self.messages.MarkDelivered, request)
        except grpc.RpcError as error:
            say(f"the position is not marked: {error.details()}")

    def _answer(self, message: message_pb2.Message) -> None:
        if message.sender_id == self.state.user_id:
            return
        text = self._text_of(message)
        if not self.mention.search(text):
            return
        request = message_service_pb2.SendMessageRequest(
            channel_id=message.channel_id,
            client_message_id=answer_id(message),
            text=f"That was {len(text.split())} words.",
            reply_to_message_id=message.message_id,
        )
        try:
            self._call(self.messages.SendMessage, request)
            say(f"answered {message.message_id}")
        except grpc.RpcError as error:
            # Removed from the group meanwhile, too old, or answered otherwise by another version.
            if error.code() not in {
                StatusCode.PERMISSION_DENIED,
                StatusCode.INVALID_ARGUMENT,
                StatusCode.ALREADY_EXISTS,
            }:
                raise
            say(f"can't answer {message.message_id}: {error.details()}")

    def _text_of(self, message: message_pb2.Message) -> str:
        """The largest texts are left out of inboxes and read from the history."""
        if not message.body_omitted:
            return message.text
        request = message_service_pb2.ListMessagesRequest(
            channel_id=message.channel_id, page_size=1, around_message_id=message.message_id
        )
        page = self._call(self.messages.ListMessages, request)
        found = (each.text for each in page.messages if each.message_id == message.message_id)
        return next(found, "")

    def _call(self, method: Callable, request):
        """Makes a call, and makes it again where that may help.

        What is called here may be called any number of times: the same client_message_id never
        stores twice.
        """
        for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, None):
            try:
                return self._call_once(method, request)
            except grpc.RpcError as error:
                if pause is None or error.code() not in TRY_AGAIN:
                    raise
            sleep(pause)

    def _call_once(self, method: Callable, request):
        return method(request, timeout=10, metadata=self.account.credentials())


def answer_id(message: message_pb2.Message) -> str:
    """The id of the answer to a message: a UUIDv7, always the same one for the same message.

    So a bot that crashed between answering and storing its position answers again, and Parley
    recognises the answer.
    """
    octets = bytearray(hashlib.sha256(f"answer to {message.message_id}".encode()).digest()[:16])
    octets[:6] = message.send_time.ToMilliseconds().to_bytes(6)
    octets[6] = octets[6] & 0x0F | 0x70  # version 7
    octets[8] = octets[8] & 0x3F | 0x80  # RFC 9562's variant
    return str(uuid.UUID(bytes=bytes(octets)))


def sleep(pause: float) -> None:
    """Half of the pause to all of it, so that a thousand bots don't come back at one moment."""
    time.sleep(random.uniform(pause / 2, pause))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grpc", default="127.0.0.1:50051", help="where Parley's services answer")
    parser.add_argument("--name", default="pybot", help="the bot's user name")
    parser.add_argument("--password", default="", help="its password")
    parser.add_argument("--sign-up", action="store_true", help="make the account first")
    parser.add_argument("--state", type=Path, default=Path("pybot.json"), help="where it remembers")
    options = parser.parse_args()

    # Development only: where Parley serves TLS, grpc.secure_channel.
    link = grpc.insecure_channel(
        options.grpc,
        options=[
            # Following may be silent for hours: asks whether the other side still lives.
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # By default a link that broke some times is tried again only every two minutes.
            ("grpc.max_reconnect_backoff_ms", 5_000),
        ],
    )
    state = State.load(options.state)
    account = Account(link, state, options.state)
    if not state.refresh_token:
        account.sign_in(options.name, options.password, options.sign_up)
    bot = Bot(link, account, options.name)
    pause = PAUSE_MIN
    while True:
        began = time.monotonic()
        try:
            bot.follow()
            say("following broke off, comes back")
        except grpc.RpcError as error:
            if error.code() in FINAL:
                raise
            say(f"following broke off, comes back: {error.code().name} {error.details()}")
        if time.monotonic() - began > 60:
            pause = PAUSE_MIN
        sleep(pause)
        pause = min(2 * pause, PAUSE_MAX)


if __name__ == "__main__":
    try:
        main()
    except SignedOut as ended:
        sys.exit(str(ended))
    except KeyboardInterrupt:
        pass
