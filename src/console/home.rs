//! Where a login arrives.
use super::visit::{Member, Reply};
use actix_web::HttpResponse;
pub(super) async fn page(member: Member) -> Reply {
    let f = member.frame(crate::web::Room::Home);
    Ok(HttpResponse::Ok().body(format!("home {}", f.user_name)))
}
