mod feed;
mod model;
mod run;
mod ui;
mod view;

pub(crate) use self::run::run;

#[cfg(test)]
mod tests;
