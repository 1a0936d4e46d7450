"""Sets security headers, and CORS headers for the configured origins. Each is a default that a view may override.

No cookies are used, so another site's page cannot act in a visitor's name; CORS controls who may read answers.
"""

from __future__ import annotations

from flask import Flask, Response, request

from msaas.auth.tickets import PARAMETER
from msaas.settings.origins import ANY

HEADERS = {
    # for answers that are not pages: if shown as one, nothing in it would run or load
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
METHODS = "GET, HEAD, POST, PATCH, DELETE"
ASKED_WITH = ", ".join(
    (
        "Authorization, Content-Type, Idempotency-Key",
        "Range, If-Range, If-None-Match, If-Modified-Since, Last-Event-ID",
        "Tus-Resumable, Upload-Length, Upload-Offset, Upload-Metadata, Upload-Checksum, X-HTTP-Method-Override",
    )
)
EXPOSED = ", ".join(
    (
        "Location, Retry-After, Idempotency-Replayed, WWW-Authenticate",
        "ETag, Content-Disposition, Content-Range, Accept-Ranges",
        "RateLimit, RateLimit-Policy, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset",
        "Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm",
        "Upload-Offset, Upload-Length, Upload-Metadata, Upload-Expires",
    )
)
PREFLIGHT_SECONDS = 600


class Cors:
    def __init__(self, origins: frozenset[str]) -> None:
        self.origins = origins

    @property
    def listed(self) -> bool:
        origin = request.headers.get("Origin", "").lower()
        return bool(origin) and (origin in self.origins or ANY in self.origins)

    def preflight(self) -> Response | None:
        """Answered without a key, since browsers send none with it."""
        if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers or not self.listed:
            return None
        response = Response(status=204)
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = ASKED_WITH
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
        return response

    def finish(self, response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        # CORS requests do not need this header; <audio src> with a ticket on an allowed origin's page does
        shared = self.listed or (bool(self.origins) and PARAMETER in request.args)
        response.headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin" if shared else "same-origin")
        if self.origins:
            response.vary.add("Origin")
        if self.listed:
            response.headers["Access-Control-Allow-Origin"] = ANY if ANY in self.origins else request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
        return response


def install(app: Flask, origins: frozenset[str]) -> None:
    cors = Cors(origins)
    app.before_request(cors.preflight)
    app.after_request(cors.finish)
