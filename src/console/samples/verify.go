package callbacks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const secret = "whsec_..." // 钱匣 → 回调 → 密钥 / Coffer → Callbacks → Secret

// IsGenuine checks the raw request body. Use the webhook-id as the key that makes handling it twice harmless.
func IsGenuine(header http.Header, body []byte) bool {
	id, stamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	expected := mac.Sum(nil)
	for _, entry := range strings.Fields(header.Get("webhook-signature")) {
		signature, found := strings.CutPrefix(entry, "v1,")
		given, err := base64.StdEncoding.DecodeString(signature)
		if found && err == nil && hmac.Equal(given, expected) {
			return true
		}
	}
	return false
}
