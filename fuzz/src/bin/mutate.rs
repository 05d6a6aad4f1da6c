//! Blind mutation of seeds: `mutate parser|words|ignore COUNT [SEED]`.

use std::panic::catch_unwind;
use std::time::Instant;

/// Pieces that mean something in one of the languages.
const PIECES: &[&str] = &[
    "FROM a AS b\n", "FROM ", "RUN ", "COPY ", "ADD ", "ONBUILD ", "ENV ", "LABEL ", "ARG ",
    "HEALTHCHECK CMD ", "SHELL [\"", "EXPOSE 1-3/udp", "VOLUME ", "--mount=type=cache,target=/x",
    "--from=", "--chown=", " --", "<<EOF\n", "\nEOF\n", "<<-'E' ", "<<", "\\\n", "`\n", "# escape=`\n",
    "# check=skip=all\n", "# syntax=x\n", "#", "\"", "'", "\\", "`", "[\"a\", \"b\"]", "[", "]", "$",
    "${", "}", "${a:-", "${p##*/}", "${p%.*}", "${p//one/2}", "${e:?x}", "${n/", ":+", ":?", "#", "%",
    "*", "**", "?", "!", "/", "../", "./", "**/", "/**", "[a-z]", "[^", "[[:alpha:]]", "\r\n", "\n",
    "\t", " ", "\0", "\u{feff}", "\u{a0}", "é", "\u{1f980}", "=", ",", "\"a,b\"", "1h30m", "\\d",
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(8) {
        let at = random.below(data.len() + 1);
        match random.below(7) {
            0 => data.truncate(at),
            1 => drop(data.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
            2 => {
                let end = (at + random.below(16)).min(data.len());
                drop(data.drain(at..end));
            }
            3 if at < data.len() => data[at] = random.next() as u8,
            4 if at < data.len() => data[at] ^= 1 << random.below(8),
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let end = (from + random.below(64)).min(other.len());
                drop(data.splice(at..at, other[from..end].iter().copied()));
            }
            _ => {
                let end = (at + random.below(24)).min(data.len());
                let copy = data[at..end].to_vec();
                for _ in 0..random.below(4) {
                    drop(data.splice(at..at, copy.iter().copied()));
                }
            }
        }
    }
    data
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let name = arguments.get(1).map_or("parser", String::as_str);
    let count: u64 = arguments.get(2).map_or(1_000_000, |text| text.parse().expect("a number"));
    let seed: u64 = arguments.get(3).map_or(0x6c61_7073, |text| text.parse().expect("a number"));
    let target: fn(&[u8]) = match name {
        "words" => lapstrake_fuzz::dockerfile_words,
        "ignore" => lapstrake_fuzz::dockerfile_ignore,
        _ => lapstrake_fuzz::dockerfile_parser,
    };
    let directory = format!("{}/seeds/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).expect("seeds").map(|entry| entry.expect("seed").path()).collect();
    paths.sort();
    let mut seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("seed")).collect();
    let mut random = Random(seed.max(1));
    let mut slowest = 0;
    for round in 0..count {
        let data = mutate(&mut random, &seeds);
        let begun = Instant::now();
        if catch_unwind(|| target(&data)).is_err() {
            println!("finding in round {round} of seed {seed}: {:?}", String::from_utf8_lossy(&data));
            std::process::exit(1);
        }
        slowest = slowest.max(begun.elapsed().as_micros());
        // Let some mutants live, so that changes pile up.
        if round % 64 == 0 && data.len() < 4096 {
            if seeds.len() < 4096 {
                seeds.push(data);
            } else {
                let at = random.below(seeds.len() - paths.len()) + paths.len();
                seeds[at] = data;
            }
        }
    }
    println!("{name}: {count} executions, seed {seed}, slowest {slowest} µs, no finding");
}
