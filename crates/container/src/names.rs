//! Names: what they may look like, and random ones.

use crate::error::{Context, Error, Result};

/// The longest name: it is also a file name.
const NAME_LIMIT: usize = 255;

/// Refuses what cannot be a name.
pub fn check_name(name: &str) -> std::result::Result<(), Error> {
    if is_valid(name) {
        Ok(())
    } else {
        Err(Error::InvalidName(name.to_owned()))
    }
}

/// Docker's grammar: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub(crate) fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() > 1
        && name.len() <= NAME_LIMIT
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// A random name. After some collisions a digit makes it longer.
pub(crate) fn random(attempt: u32) -> Result<String> {
    let number = getrandom::u32()
        .map_err(std::io::Error::from)
        .context(|| "drawing a random name".to_owned())? as usize;
    let adjective = pick(&ADJECTIVES, number & 0xffff);
    let surname = pick(&SURNAMES, number >> 16);
    if attempt < 4 {
        return Ok(format!("{adjective}_{surname}"));
    }
    Ok(format!("{adjective}_{surname}{}", number % 1000))
}

fn pick<'a>(words: &[&'a str], number: usize) -> &'a str {
    words.get(number % words.len()).copied().unwrap_or("plain")
}

const ADJECTIVES: [&str; 96] = [
    "able", "agile", "airy", "amber", "ample", "apt", "ardent", "astute", "autumn", "avid",
    "balmy", "bold", "brave", "breezy", "brief", "bright", "brisk", "calm", "candid", "careful",
    "cheery", "civil", "clear", "clever", "cordial", "cosy", "crisp", "curious", "dapper",
    "daring", "deft", "eager", "earnest", "easy", "elated", "fair", "faithful", "fancy", "fervent",
    "fine", "firm", "fluent", "fond", "frank", "gentle", "gifted", "glad", "golden", "grand",
    "handy", "happy", "hardy", "hearty", "honest", "jolly", "jovial", "keen", "kind", "lively",
    "lucid", "lucky", "mellow", "merry", "mild", "modest", "neat", "nimble", "noble", "open",
    "patient", "placid", "plucky", "polite", "prompt", "proud", "quick", "quiet", "ready", "rosy",
    "serene", "sharp", "silent", "sincere", "smart", "snug", "sober", "solid", "steady", "sunny",
    "swift", "tender", "tidy", "vivid", "warm", "wise", "witty",
];

const SURNAMES: [&str; 96] = [
    "abel",
    "agnesi",
    "ampere",
    "archimedes",
    "banach",
    "barrow",
    "bell",
    "bessel",
    "bohr",
    "boole",
    "boyle",
    "brahe",
    "cantor",
    "carnot",
    "cauchy",
    "cayley",
    "chatelet",
    "clausius",
    "cooper",
    "coulomb",
    "crick",
    "curie",
    "dalton",
    "darwin",
    "dirac",
    "doppler",
    "eratosthenes",
    "erdos",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fourier",
    "franklin",
    "galilei",
    "galois",
    "gauss",
    "germain",
    "goodall",
    "halley",
    "hamilton",
    "herschel",
    "hertz",
    "hilbert",
    "hooke",
    "hopper",
    "hubble",
    "huygens",
    "hypatia",
    "jacobi",
    "jenner",
    "joule",
    "kepler",
    "khayyam",
    "klein",
    "kovalevskaya",
    "lagrange",
    "lamarr",
    "laplace",
    "lavoisier",
    "leavitt",
    "leibniz",
    "linnaeus",
    "lovelace",
    "maxwell",
    "meitner",
    "mendel",
    "mendeleev",
    "mitchell",
    "napier",
    "nightingale",
    "nobel",
    "noether",
    "ohm",
    "pascal",
    "pasteur",
    "pauli",
    "planck",
    "poincare",
    "ptolemy",
    "ramanujan",
    "riemann",
    "ritchie",
    "rutherford",
    "shannon",
    "somerville",
    "thales",
    "torricelli",
    "turing",
    "vesalius",
    "volta",
    "watt",
    "wiles",
    "wright",
];

#[cfg(test)]
mod tests;
