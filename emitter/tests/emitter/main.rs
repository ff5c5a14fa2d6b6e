//! Emitters on a real Redis, heard by a subscriber that shares no code with them but the decoder.

mod native;
mod outage;
mod python;
mod support;
