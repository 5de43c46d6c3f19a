//! Reads the file section by section, so that one wrong entry does not hide the next.

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::{AllowanceEntry, CatalogFile, CredentialEntry, ProviderEntry, judge};
use crate::base::{Fault, Secret};

/// Reads a catalog file; `env` answers what `credential_env` names.
///
/// Prices are taken from their text: no float comes between.
///
/// # Errors
/// Every fault that was found, each with its place and the mend.
pub fn parse(text: &str, env: &dyn Fn(&str) -> Option<Secret>) -> Result<CatalogFile, Vec<Fault>> {
    let mut reader = Reader {
        text,
        env,
        faults: Vec::new(),
    };
    let file = reader.file();
    reader.faults.extend(judge::faults(&file));
    if reader.faults.is_empty() {
        Ok(file)
    } else {
        Err(reader.faults)
    }
}

struct Reader<'a> {
    text: &'a str,
    env: &'a dyn Fn(&str) -> Option<Secret>,
    faults: Vec<Fault>,
}

/// All of a `[[credentials]]` entry but the key itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialHead {
    provider: String,
    #[serde(default = "default_name")]
    name: String,
    #[serde(default)]
    position: i32,
    #[serde(default = "super::yes")]
    enabled: bool,
}

fn default_name() -> String {
    "default".to_owned()
}

type Entry<'a> = Spanned<DeValue<'a>>;

impl<'a> Reader<'a> {
    fn file(&mut self) -> CatalogFile {
        let mut file = CatalogFile::default();
        let (document, errors) = DeTable::parse_recoverable(self.text);
        if !errors.is_empty() {
            errors.iter().for_each(|error| self.note("file", error));
            return file;
        }
        for (section, entries) in document.into_inner() {
            let section = section.into_inner().into_owned();
            for (number, entry) in self.entries(&section, entries).into_iter().enumerate() {
                self.entry(&mut file, &section, &format!("{section}[{number}]"), entry);
            }
        }
        file
    }

    fn entries(&mut self, section: &str, entries: Entry<'a>) -> Vec<Entry<'a>> {
        const SECTIONS: [&str; 6] = [
            "models",
            "providers",
            "credentials",
            "offers",
            "aliases",
            "substitutes",
        ];
        let mend = match entries.into_inner() {
            DeValue::Array(entries) if SECTIONS.contains(&section) => {
                return entries.into_iter().collect();
            }
            _ if SECTIONS.contains(&section) => format!("write [[{section}]]"),
            _ => format!("sections are {}", SECTIONS.join(", ")),
        };
        self.fault(section, "is no list of entries of this file", &mend);
        Vec::new()
    }

    fn entry(&mut self, file: &mut CatalogFile, section: &str, path: &str, entry: Entry<'a>) {
        match section {
            "models" => file.models.extend(self.read(path, entry)),
            "aliases" => file.aliases.extend(self.read(path, entry)),
            "substitutes" => file.substitutes.extend(self.read(path, entry)),
            "offers" => {
                let entry = with_price_as_text(entry);
                let offer: Option<super::OfferEntry> = self.read(path, entry);
                file.offers.extend(offer.map(super::OfferEntry::completed));
            }
            "providers" => self.provider(file, path, entry),
            "credentials" => self.credential(file, path, entry),
            _ => {}
        }
    }

    fn provider(&mut self, file: &mut CatalogFile, path: &str, mut entry: Entry<'a>) {
        let written = WrittenSecret::taken_from(&mut entry);
        let Some(mut provider): Option<ProviderEntry> = self.read(path, entry) else {
            return;
        };
        AllowanceEntry::sort(&mut provider.allowances);
        let head = CredentialHead {
            provider: provider.name.clone(),
            name: default_name(),
            position: 0,
            enabled: provider.enabled,
        };
        if let Some(secret) = written.and_then(|written| self.secret(path, &head, &written)) {
            file.credentials.push(head.with(secret));
        }
        file.providers.push(provider);
    }

    fn credential(&mut self, file: &mut CatalogFile, path: &str, mut entry: Entry<'a>) {
        let written = WrittenSecret::taken_from(&mut entry);
        let Some(head): Option<CredentialHead> = self.read(path, entry) else {
            return;
        };
        let Some(written) = written else {
            self.fault(path, "has no key", "give `credential` or `credential_env`");
            return;
        };
        if let Some(secret) = self.secret(path, &head, &written) {
            file.credentials.push(head.with(secret));
        }
    }

    /// Finds the key itself. One that is switched off and not set is left out, which is no fault.
    fn secret(
        &mut self,
        path: &str,
        head: &CredentialHead,
        written: &WrittenSecret,
    ) -> Option<Secret> {
        let found = match (&written.credential, &written.credential_env) {
            (Some(secret), None) => secret.clone(),
            (None, Some(variable)) => match (self.env)(variable) {
                Some(secret) => secret,
                None if !head.enabled => return None,
                None => {
                    let what = format!("the environment variable {variable} is not set");
                    self.fault(path, &what, "export it, or set `enabled = false`");
                    return None;
                }
            },
            _ => {
                let what = "has no key, or two";
                self.fault(path, what, "give `credential` or `credential_env`, as text");
                return None;
            }
        };
        let secret = Secret::new(found.expose().trim().to_owned());
        let can_be_sent = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if secret.is_empty() || !can_be_sent {
            let what = "the key is empty, or holds what cannot stand in a header";
            self.fault(path, what, "check how it was copied");
            return None;
        }
        Some(secret)
    }

    fn read<T: for<'de> Deserialize<'de>>(&mut self, path: &str, entry: Entry<'a>) -> Option<T> {
        let begins_at = entry.span().start;
        match T::deserialize(ValueDeserializer::from(entry)) {
            Ok(value) => Some(value),
            Err(error) => {
                let line = self.line(error.span().map_or(begins_at, |span| span.start));
                let what = format!("line {line}: {}", error.message());
                self.fault(path, &what, "see conf/catalog/README.md");
                None
            }
        }
    }

    fn note(&mut self, path: &str, error: &toml::de::Error) {
        let line = self.line(error.span().map_or(0, |span| span.start));
        let what = format!("line {line}: {}", error.message());
        self.fault(path, &what, "write it as TOML");
    }

    fn fault(&mut self, path: &str, what: &str, mend: &str) {
        self.faults.push(Fault::new(path, what, mend));
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.bytes().take(offset);
        before.filter(|byte| *byte == b'\n').count() + 1
    }
}

impl CredentialHead {
    fn with(self, secret: Secret) -> CredentialEntry {
        CredentialEntry {
            provider: self.provider,
            name: self.name,
            position: self.position,
            enabled: self.enabled,
            secret,
        }
    }
}

/// How a key is given; what is no text counts as not given.
struct WrittenSecret {
    credential: Option<Secret>,
    credential_env: Option<String>,
}

impl WrittenSecret {
    fn taken_from(entry: &mut Entry<'_>) -> Option<Self> {
        let DeValue::Table(table) = entry.get_mut() else {
            return None;
        };
        let credential = table.remove("credential");
        let credential_env = table.remove("credential_env");
        if credential.is_none() && credential_env.is_none() {
            return None;
        }
        let text = |value: Entry<'_>| value.get_ref().as_str().map(str::to_owned);
        Some(Self {
            credential: credential.and_then(text).map(Secret::new),
            credential_env: credential_env.and_then(text),
        })
    }
}

/// Replaces the numbers of a price by the text they were written with, so that none becomes a float.
fn with_price_as_text(mut entry: Entry<'_>) -> Entry<'_> {
    if let DeValue::Table(table) = entry.get_mut()
        && let Some(price) = table.get_mut("price")
        && let DeValue::Table(amounts) = price.get_mut()
    {
        for (_, amount) in amounts.iter_mut() {
            let text = match amount.get_ref() {
                DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
                DeValue::Float(number) => number.as_str().to_owned(),
                _ => continue,
            };
            *amount.get_mut() = DeValue::String(text.into());
        }
    }
    entry
}
