//! What is sealed opens in its place, and nowhere else.

use super::*;

fn vault(text: &str) -> Vault {
    Vault::new(&Secret::new(text.repeat(8))).unwrap()
}

fn place() -> Place<'static> {
    Place {
        table: "platform.provider_credentials",
        row: Uuid::from_u128(1),
        organization: Some(OrganizationId(Uuid::from_u128(2))),
        column: "sealed_secret",
        audience: "https://shop.example",
    }
}

#[test]
fn what_was_sealed_opens_in_its_place_only() {
    let vault = vault("abcd");
    let sealed = vault
        .seal(&Secret::new("sk-live".to_owned()), place())
        .unwrap();
    assert_eq!(vault.open(&sealed, place()).unwrap().expose(), "sk-live");

    let elsewhere = [
        Place {
            table: "operations.organization_credentials",
            ..place()
        },
        Place {
            row: Uuid::from_u128(9),
            ..place()
        },
        Place {
            organization: Some(OrganizationId(Uuid::from_u128(9))),
            ..place()
        },
        Place {
            organization: None,
            ..place()
        },
        Place {
            column: "sealed_key",
            ..place()
        },
        Place {
            audience: "https://thief.example",
            ..place()
        },
    ];
    for other in elsewhere {
        assert_eq!(
            vault.open(&sealed, other).unwrap_err(),
            NotOpened::Broken,
            "{other:?}"
        );
    }
}

#[test]
fn a_changed_or_cut_value_does_not_open() {
    let vault = vault("abcd");
    let sealed = vault
        .seal(&Secret::new("sk-live".to_owned()), place())
        .unwrap();

    for byte in 0..sealed.sealed_secret.len() {
        let mut changed = sealed.clone();
        changed.sealed_secret[byte] ^= 1;
        assert!(vault.open(&changed, place()).is_err(), "byte {byte}");
        let mut cut = sealed.clone();
        cut.sealed_secret.truncate(byte);
        assert!(vault.open(&cut, place()).is_err(), "cut at {byte}");
    }
    for byte in 0..sealed.sealed_key.len() {
        let mut changed = sealed.clone();
        changed.sealed_key[byte] ^= 1;
        assert!(vault.open(&changed, place()).is_err(), "byte {byte}");
    }
}

#[test]
fn an_earlier_key_opens_while_it_is_given_and_seals_nothing() {
    let (old, new) = ("abcd".repeat(8), "efgh".repeat(8));
    let sealed = vault("abcd")
        .seal(&Secret::new("sk".to_owned()), place())
        .unwrap();

    let alone = Vault::new(&Secret::new(new.clone())).unwrap();
    let refused = alone.open(&sealed, place()).unwrap_err();
    assert_eq!(refused, NotOpened::OtherKey(sealed.sealing_key_id.clone()));

    let both = alone.also_opening(&Secret::new(old)).unwrap();
    assert_eq!(both.open(&sealed, place()).unwrap().expose(), "sk");
    let again = both.seal(&Secret::new("sk".to_owned()), place()).unwrap();
    assert_ne!(again.sealing_key_id, sealed.sealing_key_id);
}

#[test]
fn a_rewrapped_value_needs_the_earlier_key_no_more_and_keeps_its_ciphertext() {
    let (old, new) = ("abcd".repeat(8), "efgh".repeat(8));
    let sealed = vault("abcd")
        .seal(&Secret::new("sk".to_owned()), place())
        .unwrap();
    let alone = Vault::new(&Secret::new(new.clone())).unwrap();
    let both = Vault::new(&Secret::new(new))
        .unwrap()
        .also_opening(&Secret::new(old))
        .unwrap();

    let rewrapped = both.rewrap(&sealed, place()).unwrap();

    assert_eq!(alone.open(&rewrapped, place()).unwrap().expose(), "sk");
    assert_eq!(rewrapped.sealed_secret, sealed.sealed_secret);
    let elsewhere = Place {
        row: Uuid::from_u128(9),
        ..place()
    };
    assert_eq!(
        both.rewrap(&sealed, elsewhere).unwrap_err(),
        NotRewrapped::NotOpened(NotOpened::Broken)
    );
}

/// What was sealed when the secret, too, was bound to the sealing key.
fn sealed_in_the_first_form(vault: &Vault) -> Sealed {
    let own_key = [7; 32];
    let own = XChaCha20Poly1305::new(&Key::from(own_key));
    let id = vault.sealing_key_id();
    let encrypt = |cipher, text: &[u8], what| encrypt(cipher, text, &place().bound_to(id, what));
    Sealed {
        sealing_key_id: id.to_owned(),
        sealed_key: encrypt(&vault.current.cipher, &own_key, "key").unwrap(),
        sealed_secret: encrypt(&own, b"sk", "secret").unwrap(),
    }
}

#[test]
fn what_was_sealed_in_the_first_form_opens_and_is_rewrapped() {
    let (old, new) = ("abcd".repeat(8), "efgh".repeat(8));
    let sealed = sealed_in_the_first_form(&vault("abcd"));
    assert_eq!(vault("abcd").open(&sealed, place()).unwrap().expose(), "sk");

    let both = Vault::new(&Secret::new(new.clone())).unwrap();
    let both = both.also_opening(&Secret::new(old)).unwrap();
    let rewrapped = both.rewrap(&sealed, place()).unwrap();

    let alone = Vault::new(&Secret::new(new)).unwrap();
    assert_eq!(alone.open(&rewrapped, place()).unwrap().expose(), "sk");
}

#[test]
fn a_digest_tells_purposes_parts_and_keys_apart() {
    let of = |key: &str, label: &str, parts: &[&[u8]]| vault(key).digest(label, parts);

    let one = of("abcd", "x", &[b"ab", b"c"]);
    assert_eq!(one, of("abcd", "x", &[b"ab", b"c"]));
    assert_ne!(one, of("abcd", "x", &[b"a", b"bc"]));
    assert_ne!(one, of("abcd", "y", &[b"ab", b"c"]));
    assert_ne!(one, of("efgh", "x", &[b"ab", b"c"]));
}

#[test]
fn the_same_secret_never_looks_the_same() {
    let vault = vault("abcd");
    let seal = || vault.seal(&Secret::new("sk".to_owned()), place()).unwrap();

    assert_ne!(seal().sealed_secret, seal().sealed_secret);
    assert_ne!(seal().sealed_key, seal().sealed_key);
}

#[test]
fn a_short_key_is_refused_and_space_around_a_key_is_not_part_of_it() {
    assert!(Vault::new(&Secret::default()).is_err());
    assert!(Vault::new(&Secret::new(" ".repeat(40))).is_err());
    assert!(Vault::new(&Secret::new("k".repeat(31))).is_err());

    let spaced = Secret::new(format!("{}\n", "abcd".repeat(8)));
    assert_eq!(
        Vault::new(&spaced).unwrap().sealing_key_id(),
        vault("abcd").sealing_key_id()
    );
    assert!(!format!("{:?}", vault("abcd")).contains("abcd"));
}
