//! Messages, input items and their parts: how much is said in them, in text, pictures, sound and documents.

use super::{
    fault::{self, Fault},
    json::{Broken, Cursor, Kind, Text},
    tokens_of_media,
};

/// What was found in everything a model is to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Bytes of text, escapes read; structures count as they are written.
    pub(super) text_bytes: u64,
    /// Messages, items or prompts.
    pub(super) messages: u64,
    /// Tokens of what is no text, and of text given as tokens.
    pub(super) media_tokens: u64,
    /// A picture is among it.
    pub(super) has_image: bool,
    /// Sound is among it.
    pub(super) has_sound: bool,
    /// Something the provider stored for an earlier call is named.
    pub(super) has_stored: bool,
}

/// Why reading stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// The text is no JSON we read.
    Broken(Broken),
    /// A field is not what it must be.
    Fault(Fault),
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A list whose entries are messages or items, and who may speak in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    /// The field that holds it.
    pub(super) field: &'static str,
    /// Who may speak.
    pub(super) roles: &'static [&'static str],
    /// Whether every entry must say who speaks.
    pub(super) needs_role: bool,
}

/// Where an entry stands, for the `param` of a fault.
#[derive(Clone, Copy)]
struct Place {
    list: List,
    position: usize,
}

impl Place {
    fn param(self, field: &str) -> String {
        let Self { list, position } = self;
        match field {
            "" => format!("{}[{position}]", list.field),
            _ => format!("{}[{position}].{field}", list.field),
        }
    }
}

/// What a part holds that is no text, until all of it was read: `type` may come last.
#[derive(Default)]
struct Media {
    base64: u64,
    is_elsewhere: bool,
    is_document: bool,
    is_picture: bool,
    is_text: bool,
}

impl Said {
    /// Reads a list of messages or items.
    pub(super) fn list(&mut self, cursor: &mut Cursor<'_>, list: List) -> Result<(), Stop> {
        if cursor.kind()? != Kind::Array {
            return Err(fault::wrong_type(list.field, "an array").into());
        }
        let before = self.messages;
        cursor.array(|cursor, position| {
            self.messages += 1;
            self.entry(cursor, Place { list, position })
        })?;
        match before < self.messages {
            true => Ok(()),
            false => Err(fault::invalid(list.field, "it must not be empty").into()),
        }
    }

    fn entry(&mut self, cursor: &mut Cursor<'_>, place: Place) -> Result<(), Stop> {
        if cursor.kind()? != Kind::Object {
            return Err(fault::wrong_type(&place.param(""), "an object").into());
        }
        let mut has_role = false;
        cursor.object(|cursor, key| {
            if !key.is("role") {
                return self.member(cursor, key, place);
            }
            has_role = true;
            role(cursor, place)
        })?;
        match has_role || !place.list.needs_role {
            true => Ok(()),
            false => Err(fault::missing(&place.param("role")).into()),
        }
    }

    /// Reads `system`, `instructions` and the like: text, or parts.
    pub(super) fn text_or_parts(
        &mut self,
        cursor: &mut Cursor<'_>,
        field: &'static str,
    ) -> Result<(), Stop> {
        let list = List {
            field,
            roles: &[],
            needs_role: false,
        };
        match cursor.kind()? {
            Kind::String => self.text(cursor),
            Kind::Array => {
                cursor.array(|cursor, position| self.part(cursor, Place { list, position }))
            }
            Kind::Null => Ok(cursor.skip()?),
            Kind::Object | Kind::Number | Kind::Bool => {
                Err(fault::wrong_type(field, "a string or an array").into())
            }
        }
    }

    /// Reads a prompt: text, tokens, or a list of either.
    pub(super) fn prompts(
        &mut self,
        cursor: &mut Cursor<'_>,
        field: &'static str,
    ) -> Result<(), Stop> {
        let wrong = || {
            Stop::from(fault::wrong_type(
                field,
                "a string, an array of strings or arrays of tokens",
            ))
        };
        match cursor.kind()? {
            Kind::String => {
                self.messages += 1;
                return self.text(cursor);
            }
            Kind::Array => {}
            Kind::Object | Kind::Number | Kind::Bool | Kind::Null => return Err(wrong()),
        }
        let (before, mut tokens) = (self.messages, 0);
        cursor.array(|cursor, _| match cursor.kind()? {
            Kind::Number => {
                tokens += 1;
                Ok(cursor.number().map(drop)?)
            }
            Kind::String => {
                self.messages += 1;
                self.text(cursor)
            }
            Kind::Array => {
                self.messages += 1;
                cursor.array(|cursor, _| {
                    tokens += 1;
                    Ok::<_, Stop>(cursor.number().map(drop)?)
                })
            }
            // Providers of multimodal embeddings take objects here.
            Kind::Object => {
                self.messages += 1;
                self.raw(cursor)
            }
            Kind::Bool | Kind::Null => Err(wrong()),
        })?;
        self.media_tokens += tokens;
        if self.messages == before {
            if tokens == 0 {
                return Err(fault::invalid(field, "it must not be empty").into());
            }
            self.messages += 1;
        }
        Ok(())
    }

    /// Counts the next value: a string as it reads, anything else as it is written.
    pub(super) fn raw(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.kind()? == Kind::String {
            return self.text(cursor);
        }
        let start = cursor.place();
        cursor.skip()?;
        self.text_bytes += bytes(cursor.at() - start);
        Ok(())
    }

    fn text(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        self.text_bytes += bytes(cursor.string()?.len);
        Ok(())
    }

    /// Reads one member of a message, an item or a part.
    fn member(&mut self, cursor: &mut Cursor<'_>, key: Text<'_>, place: Place) -> Result<(), Stop> {
        match key.plain() {
            b"content" | b"output" => self.content(cursor, key, place),
            b"image_url" | b"video_url" => self.link(cursor),
            b"input_audio" | b"audio" => self.sound(cursor),
            b"type" => self.kind_of_item(cursor),
            b"file_id" => {
                self.has_stored |= cursor.kind()? == Kind::String;
                self.media_tokens += tokens_of_media::of_document(None);
                Ok(cursor.skip()?)
            }
            _ => self.raw(cursor),
        }
    }

    fn content(
        &mut self,
        cursor: &mut Cursor<'_>,
        key: Text<'_>,
        place: Place,
    ) -> Result<(), Stop> {
        match cursor.kind()? {
            Kind::String => self.text(cursor),
            Kind::Null => Ok(cursor.skip()?),
            Kind::Array => cursor.array(|cursor, _| self.part(cursor, place)),
            // A tool's `output` may be an object (a screenshot, say).
            Kind::Object => self.part(cursor, place),
            Kind::Number | Kind::Bool => {
                let name = key.read().unwrap_or_default();
                Err(fault::wrong_type(&place.param(&name), "a string or an array").into())
            }
        }
    }

    fn part(&mut self, cursor: &mut Cursor<'_>, place: Place) -> Result<(), Stop> {
        match cursor.kind()? {
            Kind::Object => {}
            Kind::String => return self.text(cursor),
            Kind::Array | Kind::Number | Kind::Bool | Kind::Null => {
                return Err(fault::wrong_type(&place.param("content"), "an array of parts").into());
            }
        }
        let mut media: Option<Media> = None;
        let mut is_document = false;
        cursor.object(|cursor, key| match key.plain() {
            b"type" if cursor.kind()? == Kind::String => {
                is_document = cursor.string()?.is("document");
                Ok(())
            }
            b"source" if cursor.kind()? == Kind::Object => {
                self.source(cursor, place, media.get_or_insert_default())
            }
            b"file" if cursor.kind()? == Kind::Object => {
                let media = media.get_or_insert_default();
                media.is_document = true;
                cursor.object(|cursor, key| self.file_member(cursor, key, media))
            }
            b"file_data" | b"file_url" => {
                let media = media.get_or_insert_default();
                media.is_document = true;
                self.file_member(cursor, key, media)
            }
            _ => self.member(cursor, key, place),
        })?;
        if let Some(mut media) = media {
            media.is_document |= is_document;
            self.count(&media);
        }
        Ok(())
    }

    /// Reads Anthropic's `source`: base64, a link, a stored file, or text after all.
    fn source(
        &mut self,
        cursor: &mut Cursor<'_>,
        place: Place,
        media: &mut Media,
    ) -> Result<(), Stop> {
        cursor.object(|cursor, key| match key.plain() {
            b"media_type" if cursor.kind()? == Kind::String => {
                let name = cursor.string()?.plain();
                media.is_picture = name.starts_with(b"image/");
                media.is_document = name == b"application/pdf";
                media.is_text = name.starts_with(b"text/");
                Ok(())
            }
            b"content" => {
                media.is_text = true;
                self.content(cursor, key, place)
            }
            b"type" => Ok(cursor.skip()?),
            _ => self.file_member(cursor, key, media),
        })
    }

    fn file_member(
        &mut self,
        cursor: &mut Cursor<'_>,
        key: Text<'_>,
        media: &mut Media,
    ) -> Result<(), Stop> {
        if cursor.kind()? != Kind::String {
            return self.raw(cursor);
        }
        match key.plain() {
            b"data" | b"file_data" => media.base64 += bytes(cursor.string()?.raw.len()),
            b"url" | b"file_url" => {
                cursor.string()?;
                media.is_elsewhere = true;
            }
            b"file_id" => {
                cursor.string()?;
                media.is_elsewhere = true;
                self.has_stored = true;
            }
            _ => self.text(cursor)?,
        }
        Ok(())
    }

    fn count(&mut self, media: &Media) {
        if media.is_text {
            self.text_bytes += media.base64;
        } else if media.is_document && !media.is_picture {
            let length = (!media.is_elsewhere).then_some(media.base64);
            self.media_tokens += tokens_of_media::of_document(length);
        } else {
            self.has_image = true;
            self.media_tokens += tokens_of_media::of_image(false);
        }
    }

    /// Reads a picture's link: a string, or an object with `url` and `detail`.
    fn link(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let mut is_low = false;
        if cursor.kind()? == Kind::Object {
            cursor.object(|cursor, key| {
                if key.is("detail") && cursor.kind()? == Kind::String {
                    is_low = cursor.string()?.is("low");
                    return Ok(());
                }
                cursor.skip()
            })?;
        } else {
            cursor.skip()?;
        }
        self.has_image = true;
        self.media_tokens += tokens_of_media::of_image(is_low);
        Ok(())
    }

    /// Reads sound: an object with base64 `data`, or the id of what the model said before.
    fn sound(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.kind()? != Kind::Object {
            return self.raw(cursor);
        }
        self.has_sound = true;
        cursor.object(|cursor, key| {
            if key.is("data") && cursor.kind()? == Kind::String {
                self.media_tokens += tokens_of_media::of_sound(bytes(cursor.string()?.raw.len()));
                return Ok(());
            }
            self.raw(cursor)
        })
    }

    fn kind_of_item(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        if cursor.kind()? != Kind::String {
            return Ok(cursor.skip()?);
        }
        self.has_stored |= cursor.string()?.is("item_reference");
        Ok(())
    }
}

fn role(cursor: &mut Cursor<'_>, place: Place) -> Result<(), Stop> {
    if cursor.kind()? != Kind::String {
        return Err(fault::wrong_type(&place.param("role"), "a string").into());
    }
    let role = cursor.string()?;
    match place.list.roles.iter().any(|known| role.is(known)) {
        true => Ok(()),
        false => {
            let known = place.list.roles.join("`, `");
            Err(fault::invalid(
                &place.param("role"),
                &format!("it must be one of `{known}`"),
            )
            .into())
        }
    }
}

fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
