//! The PROXY protocol: what is read of a beginning is what is read of the whole.

use sockeye_proto::proxy::{MAX_HEADER, parse};

/// The first bytes of a connection.
pub fn header(data: &[u8]) {
    let whole = parse(data);
    if let Ok(Some(header)) = whole {
        assert!(header.len <= data.len() && header.len <= MAX_HEADER);
        assert_eq!(parse(&data[..header.len]), whole, "what follows changes nothing");
    }
    if let Ok(None) = whole {
        assert!(data.len() < MAX_HEADER, "it has to end at some time");
    }
    // Byte by byte: incomplete, and then the same, whether good or bad.
    let first = (0..data.len()).map(|end| parse(&data[..end])).find(|part| *part != Ok(None));
    match (first, whole) {
        (None, _) => {}
        (Some(Ok(early)), _) => assert_eq!(whole, Ok(early)),
        (Some(Err(_)), _) => assert!(whole.is_err(), "what is wrong stays wrong"),
    }
}
