//! Several simulated providers in one file.

use serde::Deserialize;

use super::Settings;

/// The file: one `[[provider]]` after the other, with the fields of [`Settings`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    provider: Vec<Settings>,
}

/// Reads a fleet from TOML.
///
/// # Errors
/// What the file has that it must not, with its line.
pub fn parse(text: &str) -> Result<Vec<Settings>, toml::de::Error> {
    toml::from_str::<File>(text).map(|file| file.provider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_read_and_its_mistakes_are_told() {
        let fleet = parse(
            r#"
            [[provider]]
            name = "a"
            listen = "127.0.0.1:0"
            fault = "status=503,p=0.1"
            [[provider]]
            name = "b"
            rpm = 30
            models = ["m"]
            "#,
        )
        .unwrap();

        assert_eq!(fleet.len(), 2);
        assert_eq!(fleet[0].fault.to_string(), "status=503,p=0.1");
        assert_eq!((fleet[1].rpm, fleet[1].models.len()), (Some(30), 1));
        assert!(parse("[[provider]]\nnmae = \"a\"").is_err());
        assert!(parse("[[provider]]\nfault = \"explode\"").is_err());
    }
}
