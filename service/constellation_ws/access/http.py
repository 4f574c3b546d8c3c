"""Asks an HTTP endpoint of the API who may be in a chat."""

from __future__ import annotations

import msgspec

from constellation_ws.access.answers import ApiAnswer, NoAnswer, read_verdict
from constellation_ws.backends.posting import PostFailed, Posting
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.runtime.deadline import deadline


class HttpApi:
    """One URL that answers `POST {userId, chatId}`; connections to it are kept."""

    def __init__(self, url: str, token: str, timeout_seconds: float) -> None:
        """`token` is sent as a bearer's; empty means none."""
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_seconds = timeout_seconds
        self._posting = Posting()
        self._names_chats = False

    def subject(self, user: UserId, chat: ChatId) -> object:
        """Say what a question is about: the user, where answers name all chats of one."""
        return user if self._names_chats else (user, chat)

    async def ask(self, user: UserId, chat: ChatId) -> ApiAnswer:
        """Ask once. Raises NoAnswer, or TimeoutError where none comes in time."""
        question = msgspec.json.encode({"userId": user, "chatId": chat})
        try:
            async with deadline(self._timeout_seconds):
                # A question may be asked twice.
                status, body = await self._posting.post(
                    self._url, question, self._headers, is_repeatable=True
                )
        except TimeoutError as error:
            raise TimeoutError("the API did not answer in time") from error
        except PostFailed as error:
            raise NoAnswer(f"the call to the API failed: {error}") from error
        answer = read_verdict(chat, status, body)
        if status == 200:
            self._names_chats = answer.chats is not None
        return answer

    async def aclose(self) -> None:
        """Hang up."""
        await self._posting.aclose()
