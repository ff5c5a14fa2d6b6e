//! A packet's message.

use super::from_json;
use crate::prepared::{Body, Packet};
use crate::sio::PacketKind;

/// Writes a packet.
#[must_use]
pub fn encode(packet: &Packet) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(48 + packet.namespace.len() + packet.args().map_or(0, |args| args.size()));
    let kind = match packet.kind {
        PacketKind::BinaryEvent => PacketKind::Event,
        PacketKind::BinaryAck => PacketKind::Ack,
        kind => kind,
    };
    let members = 2 + usize::from(!matches!(packet.body, Body::None)) + usize::from(packet.id.is_some());
    map(members, &mut out);
    string(b"type", &mut out);
    uint(kind as u64, &mut out);
    match &packet.body {
        Body::None => {}
        Body::Json(json) => {
            string(b"data", &mut out);
            from_json::value(json, &mut out);
        }
        Body::Event { name, args } => {
            string(b"data", &mut out);
            from_json::args(Some(name), args, &mut out);
        }
        Body::Args(args) => {
            string(b"data", &mut out);
            from_json::args(None, args, &mut out);
        }
    }
    string(b"nsp", &mut out);
    string(packet.namespace.as_bytes(), &mut out);
    if let Some(id) = packet.id {
        string(b"id", &mut out);
        uint(id, &mut out);
    }
    out
}

// === Values in their smallest forms ===

/// A length behind a first byte: in that byte if there are so few, else in 1, 2 or 4 more. `wide` is the first byte of the
/// form with one.
fn header(len: usize, short: Option<(u8, usize)>, wide: u8, has_byte: bool, out: &mut Vec<u8>) {
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(few), _) if short.is_some_and(|(_, max)| len <= max) => {
            out.push(short.map_or(0, |(first, _)| first) | few);
        }
        (Ok(len), _) if has_byte => out.extend_from_slice(&[wide, len]),
        (_, Ok(len)) => {
            out.push(wide + 1);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(wide + 2);
            // Nothing in memory that came from a message, or goes into one, is longer.
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

pub(super) fn array(len: usize, out: &mut Vec<u8>) {
    header(len, Some((0x90, 15)), 0xdb, false, out);
}

pub(super) fn map(len: usize, out: &mut Vec<u8>) {
    header(len, Some((0x80, 15)), 0xdd, false, out);
}

pub(super) fn string(text: &[u8], out: &mut Vec<u8>) {
    header(text.len(), Some((0xa0, 31)), 0xd9, true, out);
    out.extend_from_slice(text);
}

pub(super) fn binary(data: &[u8], out: &mut Vec<u8>) {
    header(data.len(), None, 0xc4, true, out);
    out.extend_from_slice(data);
}

pub(super) fn uint(number: u64, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, bytes[7]]),
        0x100..=0xffff => out.extend_from_slice(&[0xcd, bytes[6], bytes[7]]),
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&bytes);
        }
    }
}

pub(super) fn int(number: i64, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    match number {
        0.. => uint(number as u64, out),
        -0x20.. => out.push(number as u8),
        -0x80.. => out.extend_from_slice(&[0xd0, bytes[7]]),
        -0x8000.. => out.extend_from_slice(&[0xd1, bytes[6], bytes[7]]),
        -0x8000_0000.. => {
            out.push(0xd2);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&bytes);
        }
    }
}

pub(super) fn float(number: f64, out: &mut Vec<u8>) {
    // As JavaScript, which has one kind of number, takes integers for such: up to where floats have gaps between them.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return int(number as i64, out);
    }
    out.push(0xcb);
    out.extend_from_slice(&number.to_be_bytes());
}
