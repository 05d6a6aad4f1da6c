use super::*;
use std::fmt::Write as _;

fn digest(letter: char) -> Digest {
    Digest::from_sha256_hex(&letter.to_string().repeat(64)).unwrap()
}

fn grown(id: char, layers: &str) -> Grown {
    let layers: Vec<Digest> = layers.chars().map(digest).collect();
    Grown {
        words: layers
            .iter()
            .map(|layer| layer.hex()[..1].to_owned())
            .collect(),
        layers,
        sizes: SharedSizes::default(),
        image: ImageSummary {
            id: digest(id),
            tags: Vec::new(),
            digests: Vec::new(),
            created: None,
            size: 0,
            parent: None,
            containers: 0,
        },
    }
}

fn shown(images: &[(char, &str)]) -> String {
    let mut images: Vec<Grown> = images
        .iter()
        .map(|(id, layers)| grown(*id, layers))
        .collect();
    images.sort_by(|a, b| a.layers.cmp(&b.layers));
    let sizes = BTreeMap::new();
    let mut tree = Tree {
        sizes: &sizes,
        rows: Vec::new(),
    };
    tree.grow(&images, 0, &[]);
    let mut out = String::new();
    for row in tree.rows {
        for follows in &row.follows {
            out.push(if *follows { '|' } else { '.' });
        }
        match row.item {
            TreeItem::Layer {
                images, created_by, ..
            } => {
                let mark = if row.continues { "+" } else { "" };
                write!(out, "{mark}{created_by}{images}").unwrap();
            }
            TreeItem::Image { image, .. } => write!(out, "={}", &image.id.hex()[..1]).unwrap(),
        }
        out.push(' ');
    }
    out.trim_end().to_owned()
}

#[test]
fn images_stand_below_the_layers_they_share() {
    for (images, expected) in [
        (&[][..], ""),
        (&[('1', "")], "=1"),
        (&[('1', "a")], "a1 .=1"),
        (&[('1', "abc")], "a1 +b1 +c1 .=1"),
        (&[('1', "a"), ('2', "a")], "a2 |=1 .=2"),
        (&[('1', "ab"), ('2', "ac")], "a2 |b1 |.=1 .c1 ..=2"),
        (
            &[
                ('1', "ab"),
                ('2', "abcd"),
                ('3', "abce"),
                ('4', "f"),
                ('5', ""),
            ],
            "=5 a3 +b3 |=1 .c2 .|d1 .|.=2 ..e1 ...=3 f1 .=4",
        ),
        // The same layer on others is another place.
        (&[('1', "ab"), ('2', "cb")], "a1 +b1 .=1 c1 +b1 .=2"),
    ] {
        assert_eq!(shown(images), expected);
    }
}
