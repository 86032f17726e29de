//! Which addresses may be called: the guard against being used to reach what only this machine can reach (SSRF).
//!
//! Pure. A URL is read into a [`Target`], the names' addresses come from elsewhere, and every one of them is judged
//! here before a connection is made. Ranges: IANA's special-purpose registries for IPv4 and IPv6.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hyper::http::uri::PathAndQuery;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::lang::{Lang, Text};

/// Longest URL that is called, in bytes.
pub const URL_MAX: usize = 2048;

/// What may be called. The default is the strictest: https to public addresses on the usual ports.
#[derive(Clone, Debug)]
pub struct TargetPolicy {
    /// Refuse plain http.
    pub https_only: bool,
    /// The only ports that may be called.
    pub ports: Vec<u16>,
    /// For demo and tests: `127.0.0.0/8` and `::1` may be called, and when the URL itself names them (or
    /// `localhost`), on any port and over http.
    pub allow_loopback: bool,
    /// Ranges that may be called although they are not public, such as a shop in the same private network.
    pub allow_subnets: Vec<IpNet>,
    /// Where this process listens; these are refused whatever else is allowed. A listener that may be called, such
    /// as the demo's shop, is left out. An unspecified address (`0.0.0.0:8080`) stands for every address of this machine.
    pub own_listeners: Vec<SocketAddr>,
}

impl Default for TargetPolicy {
    fn default() -> Self {
        Self {
            https_only: true,
            ports: vec![443, 8443],
            allow_loopback: false,
            allow_subnets: Vec::new(),
            own_listeners: Vec::new(),
        }
    }
}

/// Why a target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockReason {
    /// Not an absolute http or https URL, too long, or with characters that readers disagree about.
    BadUrl,
    /// A name or password stands before the host.
    UserInfo,
    /// A `#` part, which is never sent.
    Fragment,
    /// http where https is required.
    PlainHttp,
    /// Not in the list of ports.
    Port { port: u16 },
    /// One of the host's addresses is not public.
    Address { address: IpAddr, range: Range },
    /// Coffer itself.
    OwnListener,
}

/// Kinds of addresses that are not on the public internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Range {
    Unspecified,
    Loopback,
    Private,
    /// Link-local, where clouds keep the metadata service.
    LinkLocal,
    /// Carrier-grade NAT, where some clouds keep internal services.
    SharedNat,
    Multicast,
    Documentation,
    Benchmark,
    /// An address that hides another one: v4-mapped, NAT64, 6to4, Teredo.
    Translated,
    /// A public-looking address that a cloud uses for its own services.
    CloudInternal,
    Reserved,
}

/// A URL that passed every check that needs no name lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub https: bool,
    pub host: Host<String>,
    pub port: u16,
    /// Path and query, as sent in the request line.
    pub path: String,
}

impl Target {
    /// The `Host` header: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    /// The loopback address, said openly: as a literal or as `localhost`.
    fn names_loopback(&self) -> bool {
        match &self.host {
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
            Host::Domain(name) => is_localhost(name),
        }
    }
}

/// `localhost` means loopback by definition and is never asked of a name server (RFC 6761, 6.3).
pub fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

impl TargetPolicy {
    /// Everything that can be said about a URL without looking up its name: for the form where it is entered, and
    /// again before each call.
    pub fn check_url(&self, url: &str) -> Result<Target, BlockReason> {
        let target = parse(url)?;
        let free = self.allow_loopback && target.names_loopback();
        if self.https_only && !target.https && !free {
            return Err(BlockReason::PlainHttp);
        }
        if !self.ports.contains(&target.port) && !free {
            return Err(BlockReason::Port { port: target.port });
        }
        match &target.host {
            Host::Ipv4(ip) => self.check_address(SocketAddr::new(IpAddr::V4(*ip), target.port))?,
            Host::Ipv6(ip) => self.check_address(SocketAddr::new(IpAddr::V6(*ip), target.port))?,
            Host::Domain(name) if is_localhost(name) => {
                self.check_address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), target.port))?;
            }
            Host::Domain(_) => {}
        }
        Ok(target)
    }

    /// Judges one address; a name is refused when any of its addresses is.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), BlockReason> {
        let plain = address.ip().to_canonical();
        if self.own_listeners.iter().any(|own| listens_at(*own, plain, address.port())) {
            return Err(BlockReason::OwnListener);
        }
        if self.allow_subnets.iter().any(|net| net.contains(&plain)) || (self.allow_loopback && plain.is_loopback()) {
            return Ok(());
        }
        match range_of(address.ip()) {
            Some(range) => Err(BlockReason::Address { address: address.ip(), range }),
            None => Ok(()),
        }
    }

    /// The second look at an open connection, before anything is sent over it: one whose two ends have the same
    /// address leads back to this machine, and may meet a listener on `0.0.0.0`.
    pub fn check_connection(&self, local: SocketAddr, peer: SocketAddr) -> Result<(), BlockReason> {
        let home = local.ip().to_canonical() == peer.ip().to_canonical();
        if home && self.own_listeners.iter().any(|own| own.ip().is_unspecified() && own.port() == peer.port()) {
            return Err(BlockReason::OwnListener);
        }
        Ok(())
    }
}

fn listens_at(own: SocketAddr, ip: IpAddr, port: u16) -> bool {
    let here =
        own.ip().to_canonical() == ip || (own.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified()));
    own.port() == port && here
}

/// Stricter than the URL standard, which repairs what it can: what a person reads must be what is called.
fn parse(url: &str) -> Result<Target, BlockReason> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if url.len() > URL_MAX || url.contains(odd) {
        return Err(BlockReason::BadUrl);
    }
    let (scheme, rest) = url.split_once("://").ok_or(BlockReason::BadUrl)?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err(BlockReason::BadUrl),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(BlockReason::BadUrl);
    }
    if authority.contains('@') {
        return Err(BlockReason::UserInfo);
    }
    let parsed = Url::parse(url).map_err(|_| BlockReason::BadUrl)?;
    if parsed.fragment().is_some() {
        return Err(BlockReason::Fragment);
    }
    let host = match parsed.host().ok_or(BlockReason::BadUrl)? {
        // Certificates and virtual hosts know names without the dot of the root.
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(name).to_owned()),
        Host::Ipv4(ip) => Host::Ipv4(ip),
        Host::Ipv6(ip) => Host::Ipv6(ip),
    };
    if host == Host::Domain(String::new()) {
        return Err(BlockReason::BadUrl);
    }
    let port = parsed.port_or_known_default().ok_or(BlockReason::BadUrl)?;
    let path = match parsed.query() {
        Some(query) => format!("{}?{query}", parsed.path()),
        None => parsed.path().to_owned(),
    };
    // The one reader knows characters that the other refuses; what cannot be sent should not be stored.
    PathAndQuery::try_from(path.as_str()).map_err(|_| BlockReason::BadUrl)?;
    Ok(Target { https, host, port, path })
}

/// The kind of a non-public address, `None` for a public one.
pub fn range_of(ip: IpAddr) -> Option<Range> {
    match ip {
        IpAddr::V4(ip) => range_of_v4(ip),
        IpAddr::V6(ip) => range_of_v6(ip),
    }
}

fn range_of_v4(ip: Ipv4Addr) -> Option<Range> {
    match ip.octets() {
        [0, ..] => Some(Range::Unspecified),
        [127, ..] => Some(Range::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Some(Range::Private),
        [169, 254, ..] => Some(Range::LinkLocal),
        [100, 64..=127, ..] => Some(Range::SharedNat),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Some(Range::Documentation),
        [192, 88, 99, _] => Some(Range::Translated),
        [198, 18..=19, ..] => Some(Range::Benchmark),
        // Azure's platform services answer here from inside every virtual machine.
        [168, 63, 129, 16] => Some(Range::CloudInternal),
        [224..=239, ..] => Some(Range::Multicast),
        [192, 0, 0, _] | [240..=255, ..] => Some(Range::Reserved),
        _ => None,
    }
}

/// Public is only 2000::/3 without its special parts; everything else is refused under the name that fits best.
fn range_of_v6(ip: Ipv6Addr) -> Option<Range> {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Range::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Range::Loopback),
        // v4-compatible, v4-mapped, v4-translated (SIIT), NAT64 with the well-known and with local prefixes.
        [0, 0, 0, 0, ..] | [0x64, 0xff9b, ..] => Some(Range::Translated),
        // Teredo and 6to4.
        [0x2001, 0, ..] | [0x2002, ..] => Some(Range::Translated),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Some(Range::Documentation),
        // Protocol assignments: benchmarking, ORCHID and others, 2001::/23.
        [0x2001, 1..=0x1ff, ..] => Some(Range::Reserved),
        [0x2000..=0x3fff, ..] => None,
        [0xfc00..=0xfdff, ..] => Some(Range::Private),
        [0xfe80..=0xfebf, ..] => Some(Range::LinkLocal),
        [0xff00..=0xffff, ..] => Some(Range::Multicast),
        _ => Some(Range::Reserved),
    }
}

impl Range {
    const fn words(self) -> Text {
        match self {
            Range::Unspecified => Text::new("未指定地址", "unspecified"),
            Range::Loopback => Text::new("本机回环地址", "loopback"),
            Range::Private => Text::new("内网地址", "private"),
            Range::LinkLocal => Text::new("链路本地地址", "link-local"),
            Range::SharedNat => Text::new("运营商内部地址", "carrier-internal"),
            Range::Multicast => Text::new("组播地址", "multicast"),
            Range::Documentation => Text::new("文档示例地址", "documentation-only"),
            Range::Benchmark => Text::new("测试专用地址", "benchmark-only"),
            Range::Translated => Text::new("转换地址", "translated"),
            Range::CloudInternal => Text::new("云平台内部地址", "cloud-internal"),
            Range::Reserved => Text::new("保留地址", "reserved"),
        }
    }
}

impl BlockReason {
    /// What to tell the person who entered the address.
    pub fn sentence(&self, lang: Lang) -> String {
        let text = match self {
            BlockReason::Port { port } => {
                return match lang {
                    Lang::Zh => format!("不允许使用端口 {port}。请改用 443 等允许的端口。"),
                    Lang::En => format!("Port {port} is not allowed. Use an allowed one such as 443."),
                };
            }
            BlockReason::Address { address, range } => {
                let kind = range.words().get(lang);
                return match lang {
                    Lang::Zh => format!(
                        "该域名指向 {address}（{kind}），为安全起见不予访问。请使用公网地址，或由管理员放行该网段。"
                    ),
                    Lang::En => format!(
                        "The host points to {address} ({kind}), which is not called for safety. Use a public address, or have the operator allow that network."
                    ),
                };
            }
            BlockReason::BadUrl => Text::new(
                "网址格式不正确。请填写以 https:// 开头的完整地址，不含空格和反斜杠。",
                "This is not a valid address. Enter a full one starting with https://, without spaces or backslashes.",
            ),
            BlockReason::UserInfo => Text::new(
                "网址中不能包含用户名或密码（@ 之前的部分）。",
                "The address must not contain a user name or password (the part before @).",
            ),
            BlockReason::Fragment => {
                Text::new("网址中不能包含 # 及其后的内容。", "The address must not contain # and what follows it.")
            }
            BlockReason::PlainHttp => {
                Text::new("只允许 https:// 开头的地址。", "Only addresses starting with https:// are allowed.")
            }
            BlockReason::OwnListener => Text::new(
                "该地址是钱匣自己的服务，请填写商店的地址。",
                "This is Coffer's own address. Enter the address of the shop.",
            ),
        };
        text.get(lang).to_owned()
    }
}

impl fmt::Display for BlockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence(Lang::En))
    }
}

impl std::error::Error for BlockReason {}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(url: &str) -> Result<Target, BlockReason> {
        TargetPolicy::default().check_url(url)
    }

    fn refused_range(url: &str) -> Option<Range> {
        match strict(url) {
            Err(BlockReason::Address { range, .. }) => Some(range),
            Ok(_) | Err(_) => None,
        }
    }

    fn range(ip: &str) -> Option<Range> {
        range_of(ip.parse().unwrap())
    }

    #[test]
    fn a_public_https_address_on_a_usual_port_is_accepted() {
        let target = strict("https://shop.example/notify?from=coffer").unwrap();
        assert_eq!((target.https, target.port, target.path.as_str()), (true, 443, "/notify?from=coffer"));
        assert_eq!(target.authority(), "shop.example");
        assert_eq!(strict("https://shop.example:8443").unwrap().authority(), "shop.example:8443");
        assert_eq!(strict("HTTPS://SHOP.Example./").unwrap().authority(), "shop.example");
        assert_eq!(strict("https://钱匣.example/").unwrap().authority(), "xn--pjr983m.example");
        assert!(strict("https://[2606:4700::1]/").is_ok());
        assert!(strict("https://8.8.8.8/").is_ok());
    }

    #[test]
    fn attack_46_every_spelling_of_an_internal_address_is_refused() {
        for (url, expected) in [
            ("https://127.0.0.1/", Range::Loopback),
            ("https://127.0.0.1./", Range::Loopback),
            ("https://127.1/", Range::Loopback),
            ("https://2130706433/", Range::Loopback),
            ("https://0x7f.1/", Range::Loopback),
            ("https://0x7f000001/", Range::Loopback),
            ("https://017700000001/", Range::Loopback),
            ("https://0177.0.0.1/", Range::Loopback),
            ("https://１２７.0.0.1/", Range::Loopback),
            ("https://127。0。0。1/", Range::Loopback),
            ("https://%31%32%37.0.0.1/", Range::Loopback),
            ("https://localhost/", Range::Loopback),
            ("https://LOCALHOST./", Range::Loopback),
            ("https://shop.localhost/", Range::Loopback),
            ("https://[::1]/", Range::Loopback),
            ("https://0.0.0.0/", Range::Unspecified),
            ("https://0/", Range::Unspecified),
            ("https://[::]/", Range::Unspecified),
            ("https://[::ffff:127.0.0.1]/", Range::Translated),
            ("https://[::ffff:7f00:1]/", Range::Translated),
            ("https://[::127.0.0.1]/", Range::Translated),
            ("https://[64:ff9b::7f00:1]/", Range::Translated),
            ("https://[2002:7f00:1::]/", Range::Translated),
            ("https://169.254.169.254/latest/meta-data", Range::LinkLocal),
            ("https://[fe80::a9fe:a9fe]/", Range::LinkLocal),
            ("https://[fd00:ec2::254]/", Range::Private),
            ("https://100.100.100.200/", Range::SharedNat),
            ("https://168.63.129.16/", Range::CloudInternal),
            ("https://192.0.0.192/", Range::Reserved),
        ] {
            assert_eq!(refused_range(url), Some(expected), "{url}");
        }
    }

    #[test]
    fn every_special_range_is_refused_from_its_first_to_its_last_address() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
            ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("::ffff:8.8.8.8", "::ffff:8.8.8.8"),
            ("64:ff9b::808:808", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
            ("100::", "100::ffff:ffff:ffff:ffff"),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("ff00::", "ffff::"),
        ] {
            assert!(range(first).is_some() && range(last).is_some(), "{first} to {last}");
        }
    }

    #[test]
    fn the_neighbours_of_special_ranges_are_public() {
        for ip in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2003::1",
            "2400:3200::1",
        ] {
            assert_eq!(range(ip), None, "{ip}");
        }
    }

    #[test]
    fn attack_50_urls_that_readers_disagree_about_are_refused() {
        for (url, reason) in [
            ("https://good.example@evil.example/", BlockReason::UserInfo),
            ("https://@evil.example/", BlockReason::UserInfo),
            ("https://good.example:pw@evil.example/", BlockReason::UserInfo),
            ("https://good.example%40evil.example/", BlockReason::BadUrl),
            ("https://evil.example#good.example", BlockReason::Fragment),
            ("https://evil.example/#", BlockReason::Fragment),
            ("https://evil.example\\@good.example/", BlockReason::BadUrl),
            ("https:\\\\evil.example/", BlockReason::BadUrl),
            ("https://evil\t.example/", BlockReason::BadUrl),
            ("https://evil.example/\r\nx-injected: 1", BlockReason::BadUrl),
            (" https://evil.example/", BlockReason::BadUrl),
            ("https:evil.example", BlockReason::BadUrl),
            ("https:///evil.example", BlockReason::BadUrl),
            ("//evil.example/", BlockReason::BadUrl),
            ("file:///etc/passwd", BlockReason::BadUrl),
            ("gopher://evil.example/", BlockReason::BadUrl),
            ("https://./", BlockReason::BadUrl),
            ("https://1.2.3.4.5/", BlockReason::BadUrl),
            ("", BlockReason::BadUrl),
        ] {
            assert_eq!(strict(url), Err(reason), "{url:?}");
        }
        assert_eq!(strict(&format!("https://a.example/{}", "a".repeat(URL_MAX))), Err(BlockReason::BadUrl));
    }

    #[test]
    fn attack_53_only_listed_ports_are_called() {
        for port in [22, 25, 6379, 80, 8080] {
            assert_eq!(strict(&format!("https://shop.example:{port}/")), Err(BlockReason::Port { port }));
        }
        assert_eq!(strict("http://shop.example/"), Err(BlockReason::PlainHttp));
        let with_http = TargetPolicy { https_only: false, ports: vec![443, 80], ..TargetPolicy::default() };
        assert!(with_http.check_url("http://shop.example/").is_ok());
        assert_eq!(with_http.check_url("http://shop.example:22/"), Err(BlockReason::Port { port: 22 }));
    }

    #[test]
    fn allowed_loopback_frees_port_and_scheme_only_where_the_url_names_it() {
        let demo = TargetPolicy { allow_loopback: true, ..TargetPolicy::default() };
        assert!(demo.check_url("http://127.0.0.1:34567/").is_ok());
        assert!(demo.check_url("http://localhost:34567/").is_ok());
        assert!(demo.check_url("http://[::1]:34567/").is_ok());
        assert_eq!(demo.check_url("http://shop.example:34567/"), Err(BlockReason::PlainHttp));
        assert_eq!(demo.check_url("https://shop.example:34567/"), Err(BlockReason::Port { port: 34567 }));
        assert!(demo.check_url("http://0.0.0.0:34567/").is_err());
        assert!(demo.check_url("https://10.0.0.1/").is_err());
    }

    #[test]
    fn an_allowed_subnet_opens_exactly_itself() {
        let policy = TargetPolicy { allow_subnets: vec!["10.1.0.0/16".parse().unwrap()], ..TargetPolicy::default() };
        assert!(policy.check_url("https://10.1.2.3/").is_ok());
        assert!(policy.check_url("https://10.2.0.1/").is_err());
        assert_eq!(policy.check_url("https://10.1.2.3:6379/"), Err(BlockReason::Port { port: 6379 }));
    }

    #[test]
    fn coffers_own_listeners_are_refused_even_where_loopback_is_allowed() {
        let policy = TargetPolicy {
            allow_loopback: true,
            own_listeners: vec!["127.0.0.1:8080".parse().unwrap(), "0.0.0.0:9090".parse().unwrap()],
            ..TargetPolicy::default()
        };
        let own = Err(BlockReason::OwnListener);
        assert_eq!(policy.check_url("http://127.0.0.1:8080/"), own);
        assert_eq!(policy.check_url("http://[::ffff:127.0.0.1]:8080/").map_err(|_| ()), Err(()));
        assert_eq!(policy.check_url("http://127.0.0.1:9090/"), own);
        assert_eq!(policy.check_url("http://[::1]:9090/"), own);
        assert!(policy.check_url("http://127.0.0.1:8081/").is_ok());
    }

    #[test]
    fn a_connection_that_leads_back_to_this_machine_meets_no_listener_on_all_addresses() {
        let policy = TargetPolicy { own_listeners: vec!["0.0.0.0:443".parse().unwrap()], ..TargetPolicy::default() };
        let (us, other) = ("8.8.8.8:50000".parse().unwrap(), "8.8.4.4:443".parse().unwrap());
        assert_eq!(policy.check_connection(us, "8.8.8.8:443".parse().unwrap()), Err(BlockReason::OwnListener));
        assert_eq!(policy.check_connection(us, "8.8.8.8:8443".parse().unwrap()), Ok(()));
        assert_eq!(policy.check_connection(us, other), Ok(()));
    }
}
