//! What other nodes and the application are told about this node's sockets.

use std::{sync::Arc, time::UNIX_EPOCH};

use sockeye_proto::{
    bus::{ConnectionInfo, SocketFields, SocketInfo, Target},
    id::SocketId,
};

use super::{Namespace, rooms::Page, socket::SocketInner};
use crate::cluster::SocketsPage;

/// Sockets on one page, whatever the asker wants.
pub(crate) const PAGE_MOST: usize = 10_000;
/// From so many bytes on nothing is added to a page.
const PAGE_BYTES: usize = 256 * 1024;

impl Namespace {
    /// One page of the connected sockets that the target means, from a place on: bounded by number, bytes and work. At least
    /// one socket is on it, unless there are none or none were found within the bound of work.
    pub(crate) fn page(
        &self,
        target: &Target,
        from: u64,
        limit: usize,
        fields: &SocketFields,
    ) -> SocketsPage {
        let Page { sockets: found, next } = self.rooms.page(target, from, limit.clamp(1, PAGE_MOST));
        let (mut sockets, mut bytes) = (Vec::with_capacity(found.len()), 0);
        for (place, socket) in found {
            if bytes >= PAGE_BYTES {
                return SocketsPage { sockets, next: Some(place) };
            }
            if let Some(info) = socket.describe(fields) {
                bytes += info.size();
                sockets.push(info);
            }
        }
        SocketsPage { sockets, next }
    }
}

impl Namespace {
    /// The ids of the connected sockets that the target means.
    pub(crate) fn members(&self, target: &Target) -> Vec<SocketId> {
        let mut members = Vec::new();
        self.rooms.each_connected(target, |socket| members.push(socket.id.clone()));
        members
    }

    /// A connected socket by its id.
    pub(crate) fn connected(&self, id: &str) -> Option<Arc<SocketInner>> {
        self.rooms.get_connected(&SocketId::parse(id)?)
    }

    /// Disconnects everyone whom the target means; returns how many.
    pub(crate) fn disconnect(&self, target: &Target, close: bool) -> usize {
        let sockets = self.rooms.collect(target);
        sockets.iter().for_each(|socket| socket.disconnect(close));
        sockets.len()
    }
}

impl SocketInner {
    /// What is asked for; `None` if the socket is gone.
    pub(crate) fn describe(&self, fields: &SocketFields) -> Option<SocketInfo> {
        let handshake = &self.conn.handshake;
        let rooms = if fields.rooms { self.ns.rooms.of(&self.id)? } else { Vec::new() };
        let connection = fields.connection.then(|| ConnectionInfo {
            address: handshake.client_addr().map(|address| address.to_string()).unwrap_or_default(),
            time: handshake
                .time()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            secure: handshake.is_secure(),
            transport: self.conn.transport().as_str().to_owned(),
        });
        let url = fields.url.then(|| match handshake.query_string() {
            "" => handshake.path().to_owned(),
            query => format!("{}?{query}", handshake.path()),
        });
        let headers =
            fields.headers.iter().filter_map(|name| Some((name.clone(), handshake.header(name)?))).collect();
        let data = if fields.data { self.shared_data() } else { None };
        Some(SocketInfo { id: self.id.to_string(), rooms, connection, url, headers, data })
    }
}
