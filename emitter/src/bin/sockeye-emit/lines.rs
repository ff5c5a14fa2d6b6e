//! Lines of bounded length, from bytes.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// Longer than any message that nodes accept, so that memory stays bounded whatever is piped in.
pub(crate) const LONGEST: usize = 32 << 20;

/// Reads lines and counts them, from 1. Blank ones are counted and left out.
pub(crate) struct Lines<R> {
    reader: R,
    number: u64,
    /// What has been read of the line under way. Kept here, so that `next` can be dropped while it waits.
    line: Vec<u8>,
    too_long: bool,
}

/// A line, or why it is none.
pub(crate) type Numbered = (u64, Result<String, &'static str>);

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, number: 0, line: Vec::new(), too_long: false }
    }

    /// The number of the last line that was read.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not blank; `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Numbered>> {
        loop {
            let bytes = self.reader.fill_buf().await?;
            let end = bytes.is_empty();
            let newline = bytes.iter().position(|byte| *byte == b'\n');
            let used = newline.map_or(bytes.len(), |at| at + 1);
            let part = &bytes[..newline.unwrap_or(used)];
            self.too_long |= self.line.len() + part.len() > LONGEST;
            if self.too_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            self.reader.consume(used);
            if newline.is_none() && !end {
                continue;
            }
            let (line, too_long) = (std::mem::take(&mut self.line), std::mem::take(&mut self.too_long));
            if end && line.is_empty() && !too_long {
                return Ok(None);
            }
            self.number += 1;
            if too_long {
                return Ok(Some((self.number, Err("it is longer than 32 MiB"))));
            }
            if !line.trim_ascii().is_empty() {
                let text = String::from_utf8(line).map_err(|_| "it is not UTF-8");
                return Ok(Some((self.number, text)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::BufReader;

    async fn read(input: &[u8], buffer: usize) -> Vec<Numbered> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer, input));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.expect("memory can be read") {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_come() {
        let input = "one\r\n\n  \ntwo é\n\nthree".as_bytes();
        let want = [(1, Ok("one\r".to_owned())), (4, Ok("two é".to_owned())), (6, Ok("three".to_owned()))];
        for buffer in 1..30 {
            assert_eq!(read(input, buffer).await, want);
        }
        assert_eq!(read(b"", 8).await, []);
        assert_eq!(read(b"\xff\nok", 8).await, [(1, Err("it is not UTF-8")), (2, Ok("ok".to_owned()))]);
    }

    #[tokio::test]
    async fn a_line_without_end_is_left_out() {
        let long = [&vec![b'x'; LONGEST + 1][..], b"\nok\n", &vec![b'y'; LONGEST + 1]].concat();
        let lines = read(&long, 1 << 20).await;
        let error = "it is longer than 32 MiB";
        assert_eq!(lines, [(1, Err(error)), (2, Ok("ok".to_owned())), (3, Err(error))]);
    }
}
