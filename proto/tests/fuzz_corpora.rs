//! The bodies of the fuzz targets on a stable compiler: over their committed corpora, over mutations of those, and over
//! random bytes. The numbers are drawn from a fixed seed, so that every run is the same.

use std::fs;
use std::path::Path;

#[allow(unreachable_pub, dead_code)]
#[path = "../fuzz/src/bodies/mod.rs"]
mod bodies;

/// Mutations of each committed input.
const MUTATIONS: usize = 100;
/// Random inputs for each body.
const RANDOM: usize = 1000;

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut inputs: Vec<_> =
        entries.map(|entry| fs::read(entry.expect("an entry").path()).expect("a file")).collect();
    inputs.sort();
    inputs
}

fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(input.len() + 1);
        match random.below(4) {
            0 => input.insert(at, random.byte()),
            1 if at < input.len() => drop(input.remove(at)),
            2 if at < input.len() => input[at] ^= 1 << random.below(8),
            _ => input.truncate(at),
        }
    }
}

#[test]
fn committed_inputs_pass() {
    for (name, body) in bodies::ALL {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs.iter().for_each(|input| body(input));
    }
}

#[test]
fn mutated_inputs_pass() {
    let mut random = Random(0x5eed_0001);
    for (name, body) in bodies::ALL {
        for input in corpus(name) {
            for _ in 0..MUTATIONS {
                let mut input = input.clone();
                mutate(&mut input, &mut random);
                body(&input);
            }
        }
    }
}

#[test]
fn random_inputs_pass() {
    let mut random = Random(0x5eed_0002);
    for (_, body) in bodies::ALL {
        for _ in 0..RANDOM {
            let len = random.below(200);
            let input: Vec<u8> = (0..len).map(|_| random.byte()).collect();
            body(&input);
        }
    }
}
