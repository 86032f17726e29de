//! The forms as data: each provider's fields in numbered steps, with where to find them.

use super::Shape;
use crate::lang::Text;

/// One field of the form.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name of the input.
    pub name: &'static str,
    pub label: Text,
    /// Where to find it.
    pub guide: Text,
    pub shape: Shape,
    pub required: bool,
    /// A secret that an account can do without: a box beside it takes it away.
    pub removable: bool,
}

/// Fields that are found in one place at the provider.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub title: Text,
    pub guide: Text,
    pub fields: &'static [Field],
}

const fn field(name: &'static str, shape: Shape, label: Text, guide: Text) -> Field {
    Field { name, label, guide, shape, required: true, removable: false }
}

const fn optional(name: &'static str, shape: Shape, label: Text, guide: Text) -> Field {
    Field { required: false, ..field(name, shape, label, guide) }
}

const fn removable(name: &'static str, shape: Shape, label: Text, guide: Text) -> Field {
    Field { removable: true, ..optional(name, shape, label, guide) }
}

pub(super) const WECHAT_PAY: &[Step] = &[
    Step {
        title: Text::new("商户号和 AppID", "Merchant number and app id"),
        guide: Text::new("登录 pay.weixin.qq.com。", "Log in at pay.weixin.qq.com."),
        fields: &[
            field(
                "mch_id",
                Shape::Line,
                Text::new("商户号", "Merchant number"),
                Text::new(
                    "微信支付商户平台 → 账户中心 → 商户信息。10 位数字。",
                    "WeChat Pay merchant platform → account centre → merchant information. Ten digits.",
                ),
            ),
            field(
                "app_id",
                Shape::Line,
                Text::new("AppID", "App id"),
                Text::new(
                    "产品中心 → AppID 账号管理中已关联的公众号、小程序或应用，以 wx 开头。",
                    "Product centre → AppID management: the account, mini program or app that is bound to the number. Begins with wx.",
                ),
            ),
        ],
    },
    Step {
        title: Text::new("商户证书", "Merchant certificate"),
        guide: Text::new(
            "账户中心 → API 安全 → 商户 API 证书，按提示申请，得到一个压缩包。",
            "Account centre → API security → merchant API certificate. Request it there; it comes as an archive.",
        ),
        fields: &[
            field(
                "merchant_key",
                Shape::SecretText,
                Text::new("商户 API 私钥", "Merchant API private key"),
                Text::new(
                    "账户中心 → API 安全 → 商户 API 证书。打开 apiclient_key.pem，全部粘贴。",
                    "Account centre → API security → merchant API certificate. Open apiclient_key.pem and paste all of it.",
                ),
            ),
            optional(
                "merchant_certificate",
                Shape::OpenText,
                Text::new("商户 API 证书", "Merchant API certificate"),
                Text::new(
                    "同一个压缩包里的 apiclient_cert.pem。用来核对私钥，并在到期前提醒。实在找不到，就只填下一项。",
                    "apiclient_cert.pem from the same archive. It tells whether the key fits, and when it ends. If it is lost, fill in the next field instead.",
                ),
            ),
            optional(
                "merchant_serial",
                Shape::Line,
                Text::new("证书序列号", "Certificate serial number"),
                Text::new(
                    "有证书就不用填。没有时：API 安全 → 商户 API 证书 → 管理证书，40 位数字和字母。",
                    "Not needed with the certificate. Without: API security → merchant API certificate → manage certificates; 40 hex digits.",
                ),
            ),
        ],
    },
    Step {
        title: Text::new("APIv3 密钥", "APIv3 key"),
        guide: Text::new("还在 API 安全这一页。", "On the same page, API security."),
        fields: &[field(
            "api_v3_key",
            Shape::Secret,
            Text::new("APIv3 密钥", "APIv3 key"),
            Text::new(
                "API 安全 → APIv3 密钥。您自己设置的 32 个字符；没有设置就收不到通知。",
                "API security → APIv3 key: the 32 characters that you set yourself. Without one there are no notifications.",
            ),
        )],
    },
    Step {
        title: Text::new("微信支付公钥", "WeChat Pay's public key"),
        guide: Text::new(
            "新商户号都有；老商户号没有就跳过，平台证书会自动下载。",
            "New merchant numbers have one. Older ones without it skip this step: platform certificates are fetched by themselves.",
        ),
        fields: &[
            optional(
                "public_key_id",
                Shape::Line,
                Text::new("微信支付公钥 ID", "WeChat Pay public key id"),
                Text::new(
                    "API 安全 → 微信支付公钥，以 PUB_KEY_ID_ 开头。老商户没有公钥就和下一项一起留空。",
                    "API security → WeChat Pay public key; begins with PUB_KEY_ID_. Older merchants without one leave both empty.",
                ),
            ),
            optional(
                "public_key",
                Shape::OpenText,
                Text::new("微信支付公钥", "WeChat Pay public key"),
                Text::new(
                    "同一页下载的 pub_key.pem，全部粘贴。",
                    "pub_key.pem, downloaded on the same page. Paste all of it.",
                ),
            ),
        ],
    },
    Step {
        title: Text::new("在微信里、小程序和 App 里收款", "Paying in WeChat, mini programs and apps"),
        guide: Text::new("只用二维码收款就跳过。", "Skip this if codes are enough."),
        fields: &[
            optional(
                "official_account_app_id",
                Shape::Line,
                Text::new("公众号 AppID", "Official account app id"),
                Text::new("在微信里的网页收款时需要。", "For pages inside WeChat."),
            ),
            removable(
                "official_account_secret",
                Shape::Secret,
                Text::new("公众号 AppSecret", "Official account app secret"),
                Text::new(
                    "填了，顾客用微信打开收银台就能直接付款。公众平台 → 设置与开发 → 基本配置；还要把本收银台的域名加进公众号的“网页授权域名”，把 收银台地址/c/ 加进商户平台的“JSAPI 支付授权目录”，把本机 IP 加进公众号的 IP 白名单。",
                    "With it customers pay at once when the cashier is opened in WeChat. Official accounts platform → settings → basic configuration. Also add this cashier's domain to the account's web authorization domains, ADDRESS/c/ to the merchant platform's JSAPI directories, and this server's IP to the account's allow-list.",
                ),
            ),
            optional(
                "mini_program_app_id",
                Shape::Line,
                Text::new("小程序 AppID", "Mini program app id"),
                Text::new("小程序收款时需要。", "For mini programs."),
            ),
            optional(
                "app_app_id",
                Shape::Line,
                Text::new("移动应用 AppID", "Mobile app id"),
                Text::new("App 收款时需要，来自微信开放平台。", "For your own app; from the WeChat open platform."),
            ),
        ],
    },
    Step {
        title: Text::new("付款码", "Payment codes"),
        guide: Text::new("没有扫码枪就跳过。", "Skip this without a scanner."),
        fields: &[
            field(
                "code_interface",
                Shape::Choice(&[("v3", Text::new("V3（默认）", "V3 (default)")), ("v2", Text::new("V2", "V2"))]),
                Text::new("付款码接口", "Interface for payment codes"),
                Text::new(
                    "用扫码枪收款才要管它。① 先留 V3，收一笔小额试试。② 提示“没有权限”（NO_AUTH），说明商户号只开通了 V2，多数门店如此。③ 回到这里选 V2，填下一项，商户证书也要在。退款不受影响。",
                    "Only for shops that scan customers' codes. 1. Keep V3 and try a small payment. 2. If it says NO_AUTH, the merchant number has V2 only, as most shops do. 3. Come back, choose V2 and fill in the next field; the merchant certificate is needed too. Refunds stay the same.",
                ),
            ),
            optional(
                "api_v2_key",
                Shape::Secret,
                Text::new("APIv2 密钥", "APIv2 key"),
                Text::new(
                    "选 V2 才填。账户中心 → API 安全 → APIv2 密钥，32 个字符，与 APIv3 密钥是两把。看不到旧的，忘了只能重设；还在用它的其他系统要一起改。",
                    "Only with V2. Account centre → API security → APIv2 key: 32 characters, not the APIv3 key. It cannot be looked up; if you set a new one, change it in every system that still uses it.",
                ),
            ),
        ],
    },
];

pub(super) const ALIPAY: &[Step] = &[
    Step {
        title: Text::new("应用和商家", "Application and merchant"),
        guide: Text::new(
            "登录 open.alipay.com。应用要已上线，并已签约要用的支付产品。",
            "Log in at open.alipay.com. The application has to be live, with the payment products signed.",
        ),
        fields: &[
            field(
                "app_id",
                Shape::Line,
                Text::new("应用 APPID", "App id"),
                Text::new("支付宝开放平台 → 控制台 → 应用详情。", "Alipay open platform → console → app details."),
            ),
            field(
                "seller_id",
                Shape::Line,
                Text::new("商家 PID", "Seller id (PID)"),
                Text::new(
                    "开放平台 → 账户中心，2088 开头的 16 位数字。",
                    "Open platform → account centre: 16 digits that begin with 2088.",
                ),
            ),
        ],
    },
    Step {
        title: Text::new("应用私钥", "App private key"),
        guide: Text::new(
            "应用详情 → 开发设置 → 接口加签方式。公钥交给支付宝，私钥填在这里。",
            "App details → development → signing method. The public half goes to Alipay, the private one here.",
        ),
        fields: &[field(
            "private_key",
            Shape::SecretText,
            Text::new("应用私钥", "App private key"),
            Text::new(
                "用支付宝密钥工具生成的应用私钥（RSA2，2048 位），全部粘贴。",
                "The app private key that Alipay's key tool made (RSA2, 2048 bits). Paste all of it.",
            ),
        )],
    },
    Step {
        title: Text::new("支付宝公钥，或三个证书", "Alipay's public key, or three certificates"),
        guide: Text::new(
            "看接口加签方式选的是哪一种：密钥只填第一项，证书填后三项。两样都填时按证书。",
            "As the signing method says: by key, fill in the first field only; by certificate, the other three. With both, certificates count.",
        ),
        fields: &[
            optional(
                "alipay_public_key",
                Shape::OpenText,
                Text::new("支付宝公钥", "Alipay public key"),
                Text::new(
                    "接口加签方式选“密钥”时填：复制支付宝公钥，不是应用公钥。",
                    "For signing by key: copy Alipay's public key, not your app's.",
                ),
            ),
            optional(
                "app_certificate",
                Shape::OpenText,
                Text::new("应用公钥证书", "App certificate"),
                Text::new(
                    "加签方式选“证书”时，三个证书都要填：appCertPublicKey_….crt。",
                    "For signing by certificate all three are needed: appCertPublicKey_….crt.",
                ),
            ),
            optional(
                "alipay_certificate",
                Shape::OpenText,
                Text::new("支付宝公钥证书", "Alipay certificate"),
                Text::new("alipayCertPublicKey_RSA2.crt。", "alipayCertPublicKey_RSA2.crt."),
            ),
            optional(
                "root_certificates",
                Shape::OpenText,
                Text::new("支付宝根证书", "Alipay root certificates"),
                Text::new("alipayRootCert.crt，整个文件。", "alipayRootCert.crt, the whole file."),
            ),
        ],
    },
    Step {
        title: Text::new("内容加密", "Content encryption"),
        guide: Text::new(
            "开发设置 → 接口内容加密方式。没有开启就跳过。",
            "Development → content encryption. Skip this where it is off.",
        ),
        fields: &[removable(
            "content_key",
            Shape::Secret,
            Text::new("接口内容加密密钥", "Content encryption key"),
            Text::new("没有开启接口内容加密就留空。", "Leave it empty if content encryption is off."),
        )],
    },
];

pub(super) const UNIONPAY: &[Step] = &[
    Step {
        title: Text::new("商户号和签名方式", "Merchant number and way of signing"),
        guide: Text::new("都在收单机构的开通通知里。", "All of it stands in your acquirer's letter."),
        fields: &[
            field(
                "mer_id",
                Shape::Line,
                Text::new("商户号", "Merchant number"),
                Text::new("收单机构给的 15 位商户号。", "The 15 characters that your acquirer gave you."),
            ),
            optional(
                "term_id",
                Shape::Line,
                Text::new("终端号", "Terminal number"),
                Text::new("合同里有就填，8 位。", "8 characters, where your contract names one."),
            ),
            field(
                "sign_method",
                Shape::Choice(&[
                    ("01", Text::new("证书（PFX 文件）", "Certificate (PFX file)")),
                    ("11", Text::new("密钥，SHA-256", "Shared key, SHA-256")),
                    ("12", Text::new("密钥，国密 SM3", "Shared key, SM3")),
                ]),
                Text::new("签名方式", "Way of signing"),
                Text::new(
                    "看开通通知：要您去 CFCA 下载证书的选“证书”，填 PFX 那几项；直接给了一串密钥的选“密钥”，只填下一项。接口参数里叫 signMethod：01、11、12。",
                    "As your acquirer wrote: with a certificate to download from CFCA, choose it and enter the PFX; with a key in the letter, choose that and enter it below, and no certificates. In the interface it is signMethod: 01, 11, 12.",
                ),
            ),
        ],
    },
    Step {
        title: Text::new("密钥", "Shared key"),
        guide: Text::new("签名方式选“证书”就跳过。", "Skip this when you sign by certificate."),
        fields: &[optional(
            "secure_key",
            Shape::Secret,
            Text::new("密钥", "Shared key"),
            Text::new(
                "只在签名方式选“密钥”时填。商户服务平台 → 密钥管理，或收单机构发来的那串字符（配置文件里的 secureKey），原样复制。谁有它就能冒充银联，别用聊天软件转发。",
                "Only for signing by key. Merchant service platform → keys, or the line that your acquirer sent (secureKey in configuration files), copied as it is. Whoever has it can speak as UnionPay, so do not send it through a chat.",
            ),
        )],
    },
    Step {
        title: Text::new("签名证书", "Signing certificate"),
        guide: Text::new(
            "签名方式选“密钥”就跳过。通知里有 CFCA 的下载地址和两个码；有 PFX 就只填前两项。",
            "Skip this when you sign by key. The letter has CFCA's address and two codes. With a PFX the first two fields are enough.",
        ),
        fields: &[
            optional(
                "pfx",
                Shape::SecretFile,
                Text::new("签名证书 PFX", "Signing certificate (PFX)"),
                Text::new(
                    "选择下载的 .pfx 文件，或粘贴它的 Base64 文本（Linux：base64 文件名；Windows：certutil -encode）。也可以改填下面的私钥和证书。",
                    "Choose the .pfx file, or paste it as base64 (Linux: base64 FILE; Windows: certutil -encode). Or enter key and certificate below.",
                ),
            ),
            optional(
                "pfx_password",
                Shape::Secret,
                Text::new("PFX 密码", "Password of the PFX"),
                Text::new("下载证书时您自己设置的密码。", "The one you set when you downloaded it."),
            ),
            optional(
                "private_key",
                Shape::SecretText,
                Text::new("签名私钥", "Private key"),
                Text::new("没有 PFX 时填，PEM 格式。", "Where there is no PFX; PEM form."),
            ),
            optional(
                "certificate",
                Shape::OpenText,
                Text::new("签名证书", "Certificate"),
                Text::new("私钥对应的证书，PEM 格式。", "The certificate of that key; PEM form."),
            ),
        ],
    },
    Step {
        title: Text::new("银联的证书", "UnionPay's certificates"),
        guide: Text::new(
            "用来确认消息真的来自银联，一般不用改。",
            "They tell whether a message is really UnionPay's. Usually nothing to change.",
        ),
        fields: &[
            optional(
                "trusted_certificates",
                Shape::OpenText,
                Text::new("银联根证书和中级证书", "UnionPay's root and middle certificates"),
                Text::new("留空就用银联公布的正式证书。", "Left empty, those that UnionPay publishes are used."),
            ),
            optional(
                "accept_sha1",
                Shape::Check,
                Text::new("接受 SHA-1 签名的证书链", "Accept certificate chains signed with SHA-1"),
                Text::new(
                    "银联公布的证书链至今都用 SHA-1，取消后会收不到通知。收单机构说已换成 SHA-256 时再取消，会更安全。",
                    "All chains that UnionPay has published use SHA-1; without this no notification is believed. Untick it, to be safer, once your acquirer says that they are SHA-256.",
                ),
            ),
        ],
    },
];
