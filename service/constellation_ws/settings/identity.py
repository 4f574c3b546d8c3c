"""Settings of authentication, and which of them contradict one another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from constellation_ws.auth import jwt_keys
from constellation_ws.http.origins import ANY, OPAQUE
from constellation_ws.settings.kinds import Takes, split
from constellation_ws.settings.part import Part

_SOURCES = {
    "jwt_secret": "CONSTELLATION_JWT_SECRET",
    "jwt_public_key": "CONSTELLATION_JWT_PUBLIC_KEY",
    "jwt_jwks_url": "CONSTELLATION_JWT_JWKS_URL",
}
_ALGORITHMS = "CONSTELLATION_JWT_ALGORITHMS"


def _check_algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    if not set(names) <= set(jwt_keys.ALGORITHMS):
        raise ValueError("not a supported algorithm")
    return names


_Algorithms = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(split),
    AfterValidator(_check_algorithms),
    Takes(f"a list of {', '.join(jwt_keys.ALGORITHMS)}, separated by commas"),
]
_PublicKey = Annotated[
    SecretStr | None,  # not to be shown: it may hold the private key by mistake
    Takes("a public key as PEM; `\\n` is accepted for line breaks"),
]
_KeySetUrl = Annotated[
    str | None,
    Field(pattern=r"^https?://[^/@\s?#]+(/[^@\s#]*)?$"),
    Takes("an http:// or https:// URL without user and password"),
]
_Name = Annotated[str, Field(min_length=1, max_length=200), Takes("a name")]
_CookieName = Annotated[
    str | None,
    Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    Takes("a cookie's name"),
]


class IdentitySettings(Part):
    """The part of the environment that says how clients are authenticated."""

    auth_mode: Literal["trusted", "jwt"] = Field(
        "trusted",
        description="`trusted` accepts any `auth.userId`: only for networks that untrusted "
        "clients cannot reach. `jwt` requires a JSON Web Token from every client.",
    )
    jwt_secret: SecretStr | None = Field(
        None,
        description="Secret with which HS256, HS384 or HS512 tokens are signed.",
    )
    jwt_public_key: _PublicKey = Field(
        None,
        description="Public key of RS…, ES… or EdDSA tokens.",
    )
    jwt_jwks_url: _KeySetUrl = Field(
        None,
        description="URL of the issuer's JWK Set, its public keys. It is fetched again every five "
        "minutes, and when a token names an unknown key.",
    )
    jwt_algorithms: _Algorithms = Field(
        (),
        description="Accepted algorithms. Empty means HS256 with a secret, the algorithm of the "
        "key (RS256, ES…, EdDSA) with a public key, and all except HS… with a JWK Set.",
    )
    jwt_issuer: str | None = Field(
        None,
        description="Required `iss` of the token. Empty means that it is not checked.",
    )
    jwt_audience: str | None = Field(
        None,
        description="Required `aud` of the token, or one of its values. Empty means that a token "
        "with `aud` is refused.",
    )
    jwt_leeway_seconds: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = Field(
        5,
        description="Allowed difference between the clocks of the issuer and the gateway, in "
        "seconds.",
    )
    jwt_user_claim: _Name = Field(
        "sub",
        description="Claim that contains the user id, as a string or a whole number.",
    )
    jwt_chats_claim: _Name = Field(
        "chats",
        description="Claim that lists the ids of the user's chats.",
    )
    jwt_cookie: _CookieName = Field(
        None,
        description="Cookie from which the token is read if neither `auth.token` nor an "
        "`Authorization: Bearer` header has one. Requires CONSTELLATION_CORS_ORIGINS.",
    )

    def faults(self, cors_origins: tuple[str, ...]) -> Iterator[str]:
        """Say in a line each which of these settings contradict one another."""
        if self.auth_mode == "trusted":
            yield from self._useless()
            return
        sources = [name for field, name in _SOURCES.items() if getattr(self, field) is not None]
        match sources:
            case []:
                yield f"CONSTELLATION_AUTH_MODE is jwt: set one of {', '.join(_SOURCES.values())}"
            case [_]:
                yield from self._key_faults()
            case _:
                yield f"{' and '.join(sources)} are set: set only the one that signs your tokens"
        if self.jwt_cookie is not None and {ANY, OPAQUE} & set(cors_origins):
            yield (
                "CONSTELLATION_JWT_COOKIE requires that CONSTELLATION_CORS_ORIGINS lists the "
                "origins of your pages, without `*` and `null`: browsers send cookies with "
                "requests from any page"
            )

    def verification_key(self) -> jwt_keys.VerificationKey | None:
        """Give the key that is configured; None where keys are fetched. Raises BadKey."""
        algorithms = frozenset(self.allowed_algorithms())
        if self.jwt_secret is not None:
            secret = self.jwt_secret.get_secret_value().encode()
            return jwt_keys.VerificationKey(secret, algorithms)
        if self.jwt_public_key is not None:
            key = jwt_keys.read_public_key(self.jwt_public_key.get_secret_value())
            return jwt_keys.VerificationKey(key, algorithms)
        return None

    def allowed_algorithms(self) -> tuple[str, ...]:
        """Name the accepted algorithms, as configured or by the kind of the key."""
        if self.jwt_algorithms:
            return self.jwt_algorithms
        if self.jwt_secret is not None:
            return ("HS256",)
        return (
            self._possible_algorithms()[:1] if self.jwt_public_key else self._possible_algorithms()
        )

    def _possible_algorithms(self) -> tuple[str, ...]:
        if self.jwt_secret is not None:
            return tuple(jwt_keys.SECRET_BYTES)
        if self.jwt_public_key is not None:
            pem = self.jwt_public_key.get_secret_value()
            return jwt_keys.algorithms_of(jwt_keys.read_public_key(pem))
        return jwt_keys.PUBLIC_ALGORITHMS

    def _useless(self) -> Iterator[str]:
        """Name settings of tokens that have no effect: whoever set them expects that they do."""
        for field in type(self).model_fields:
            if field.startswith("jwt_") and field in self.model_fields_set:
                variable = type(self).model_fields[field].validation_alias
                yield f"{variable} has no effect: set CONSTELLATION_AUTH_MODE to jwt, or remove it"

    def _key_faults(self) -> Iterator[str]:
        try:
            possible = self._possible_algorithms()
        except jwt_keys.BadKey as error:
            yield f"CONSTELLATION_JWT_PUBLIC_KEY cannot be used: {error}"
            return
        wrong = [name for name in self.jwt_algorithms if name not in possible]
        if wrong:
            yield (
                f"{_ALGORITHMS} has {', '.join(wrong)}, which the configured key cannot verify; "
                f"possible are {', '.join(possible)}"
            )
        elif self.jwt_secret is not None:
            yield from self._secret_faults(self.jwt_secret.get_secret_value().encode())

    def _secret_faults(self, secret: bytes) -> Iterator[str]:
        strongest = max(self.allowed_algorithms(), key=jwt_keys.SECRET_BYTES.__getitem__)
        least = jwt_keys.SECRET_BYTES[strongest]
        if secret.lstrip().startswith(b"-----BEGIN"):
            yield (
                "CONSTELLATION_JWT_SECRET contains PEM; set a public key in "
                "CONSTELLATION_JWT_PUBLIC_KEY"
            )
        elif len(secret) < least:
            yield (
                f"CONSTELLATION_JWT_SECRET has {len(secret)} bytes; {strongest} requires {least} "
                f"or more. Generate one, for example with `openssl rand -base64 {least}`, and set "
                "it in the issuer too"
            )
