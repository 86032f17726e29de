//! Whose request it is, behind proxies or without: forwarded headers count only from proxies that are trusted, and are
//! walked from the right, because everything further left was written by somebody else.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// Hops of one header that are looked at, from the right.
const HOPS_MAX: usize = 20;

/// The client's address. `forwarded` are the values of all `X-Forwarded-For` headers in the order they stand.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    for hop in forwarded.rev().flat_map(|value| value.rsplit(',')).take(HOPS_MAX) {
        if !is_trusted(client) {
            return client;
        }
        match parse_hop(hop.trim()) {
            Some(address) => client = address,
            // A trusted proxy wrote something we cannot read: what it wrote it for is unknown, so the proxy counts.
            None => return client,
        }
    }
    client
}

/// What is counted when somebody is slowed down: the address, or the network of an IPv6 address that one customer
/// of a provider gets whole.
pub fn rate_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// `192.0.2.1`, `2001:db8::1`, and with a port `192.0.2.1:80`, `[2001:db8::1]:80`, as proxies write them.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let unbracketed = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(address, _)| address);
    let address = unbracketed.unwrap_or(hop);
    let parsed: Option<IpAddr> = address.parse().ok();
    parsed.or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip())).map(|a| a.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        client_address(peer.parse().unwrap(), forwarded.iter().copied(), &trusted).to_string()
    }

    #[test]
    fn headers_of_strangers_do_not_count() {
        assert_eq!(client("198.51.100.9", &["10.0.0.1"], &[]), "198.51.100.9");
        assert_eq!(client("198.51.100.9", &["10.0.0.1"], &["127.0.0.0/8"]), "198.51.100.9");
    }

    #[test]
    fn the_walk_ends_at_the_first_address_nobody_vouches_for() {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"];
        assert_eq!(client("127.0.0.1", &["203.0.113.7"], &trusted), "203.0.113.7");
        assert_eq!(client("127.0.0.1", &["1.1.1.1, 203.0.113.7, 10.0.0.5"], &trusted), "203.0.113.7");
        assert_eq!(client("127.0.0.1", &["1.1.1.1", "203.0.113.7,10.0.0.5"], &trusted), "203.0.113.7");
        assert_eq!(client("127.0.0.1", &["10.0.0.6, 10.0.0.5"], &trusted), "10.0.0.6");
        assert_eq!(client("127.0.0.1", &[], &trusted), "127.0.0.1");
    }

    #[test]
    fn nonsense_is_not_walked_past() {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"];
        for nonsense in ["unknown", "", "203.0.113.7;drop", "_hidden", "999.1.1.1"] {
            assert_eq!(client("127.0.0.1", &[&format!("1.1.1.1, {nonsense}, 10.0.0.5")], &trusted), "10.0.0.5");
        }
    }

    #[test]
    fn one_address_has_one_spelling() {
        let trusted = ["127.0.0.1/32"];
        assert_eq!(client("::ffff:127.0.0.1", &["::ffff:203.0.113.7"], &trusted), "203.0.113.7");
        assert_eq!(client("127.0.0.1", &["203.0.113.7:4711"], &trusted), "203.0.113.7");
        assert_eq!(client("127.0.0.1", &["[2001:db8::1]:443"], &trusted), "2001:db8::1");
        assert_eq!(rate_network("2001:db8:1:2:3:4:5:6".parse().unwrap()).to_string(), "2001:db8:1:2::");
        assert_eq!(rate_network("::ffff:203.0.113.7".parse().unwrap()).to_string(), "203.0.113.7");
    }
}
