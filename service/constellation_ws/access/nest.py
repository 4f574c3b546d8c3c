"""Asks the API over NestJS' TCP transport who is in a chat, as any of its clients would."""

from __future__ import annotations

from constellation_ws.access.answers import MAX_ANSWER_BYTES, ApiAnswer, NoAnswer, read_participants
from constellation_ws.messages.events import ChatId, UserId
from constellation_ws.nest.client import ConnectTimeout, LineLost, NestClient, NoReply
from constellation_ws.nest.framing import Reply


class NestApi:
    """One connection, made when somebody asks; answers are matched by id."""

    def __init__(self, host: str, port: int, pattern: str, timeout_seconds: float) -> None:
        """Connecting may take as long as an answer, and neither counts against the other."""
        self._client = NestClient(
            host,
            port,
            max_answer_bytes=MAX_ANSWER_BYTES,
            connect_seconds=timeout_seconds,
            silence_seconds=timeout_seconds,
        )
        self._pattern = pattern
        self._timeout_seconds = timeout_seconds

    def subject(self, user: UserId, chat: ChatId) -> object:
        """Say what a question is about: the chat, as an answer names all its users."""
        return chat

    async def ask(self, user: UserId, chat: ChatId) -> ApiAnswer:
        """Ask once. Raises NoAnswer, or TimeoutError where none comes in time."""
        try:
            try:
                reply = await self._ask(chat)
            except LineLost:  # the API's pod was replaced, say: a question may be asked twice
                reply = await self._ask(chat)
        except ConnectTimeout as error:
            raise TimeoutError(f"the API cannot be asked: {error}") from error
        except NoReply as error:
            raise NoAnswer(f"the API did not answer: {error}") from error
        return read_participants(user, reply)

    async def aclose(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _ask(self, chat: ChatId) -> Reply:
        line = await self._client.line()
        data = {"chatId": chat}
        return await line.ask(self._pattern, data, self._timeout_seconds, is_repeatable=True)
