//! Whose request it is: the socket's peer, or who a trusted proxy says it stands for.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use ipnet::IpNet;

use crate::env::client_address::client_address;

/// Proxies whose word about a client's address counts.
#[derive(Clone, Default)]
pub struct Proxies(pub Vec<IpNet>);

/// Who sent a request, where `web::Data<Proxies>` says whom to believe about it.
pub fn address_of(request: &HttpRequest) -> IpAddr {
    let proxies = request.app_data::<actix_web::web::Data<Proxies>>();
    client_of(request, proxies.map_or(&[], |proxies| &proxies.0))
}

/// The client's address. Without a peer (a service that is called directly) nobody is known.
pub fn client_of(request: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    if trusted.is_empty() {
        return peer.to_canonical();
    }
    let values: Vec<&str> =
        request.headers().get_all("x-forwarded-for").map(|value| value.to_str().unwrap_or("?")).collect();
    client_address(peer, values.into_iter(), trusted)
}
