<?php
const SECRET = 'whsec_...'; // 钱匣 → 回调 → 密钥 / Coffer → Callbacks → Secret

/** Returns the event, or throws. Call it with file_get_contents('php://input'), before any parsing. */
function verify(string $body): array
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $stamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($stamp) || abs(time() - (int) $stamp) > 300) {
        throw new RuntimeException('too old');
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', SECRET), true);
    $expected = base64_encode(hash_hmac('sha256', "$id.$stamp.$body", $key, true));
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $entry) {
        [$version, $signature] = explode(',', $entry, 2) + ['', ''];
        if ($version === 'v1' && hash_equals($expected, $signature)) {
            return json_decode($body, true, 32, JSON_THROW_ON_ERROR); // $id makes handling it twice harmless
        }
    }
    throw new RuntimeException('wrong signature');
}
