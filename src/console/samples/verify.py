import base64, hashlib, hmac, json, time

SECRET = "whsec_..."  # 钱匣 → 回调 → 密钥 / Coffer → Callbacks → Secret


def verify(headers, body: bytes) -> dict:
    """Returns the event, or raises ValueError. `body` is the raw request body, before any parsing."""
    msg_id, stamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(stamp)) > 300:
        raise ValueError("too old")
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{msg_id}.{stamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    for entry in headers["webhook-signature"].split():
        version, _, signature = entry.partition(",")
        if version == "v1" and hmac.compare_digest(signature, expected):
            return json.loads(body)  # use msg_id as the key that makes handling it twice harmless
    raise ValueError("wrong signature")
