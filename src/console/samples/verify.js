const crypto = require("node:crypto");

const SECRET = "whsec_..."; // 钱匣 → 回调 → 密钥 / Coffer → Callbacks → Secret

// Returns the event, or throws. `body` is a Buffer with the raw request body: express.raw({ type: "*/*" }).
function verify(headers, body) {
  const id = headers["webhook-id"];
  const stamp = headers["webhook-timestamp"];
  if (!(Math.abs(Date.now() / 1000 - Number(stamp)) <= 300)) throw new Error("too old");
  const key = Buffer.from(SECRET.replace(/^whsec_/, ""), "base64");
  const expected = crypto.createHmac("sha256", key).update(`${id}.${stamp}.`).update(body).digest();
  for (const entry of String(headers["webhook-signature"]).split(" ")) {
    const [version, signature] = entry.split(",");
    const given = Buffer.from(signature || "", "base64");
    if (version === "v1" && given.length === expected.length && crypto.timingSafeEqual(given, expected)) {
      return JSON.parse(body); // use id as the key that makes handling it twice harmless
    }
  }
  throw new Error("wrong signature");
}

module.exports = { verify };
