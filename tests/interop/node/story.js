#!/usr/bin/env node
'use strict';
// What a program with the official Node client does, chapter by chapter, against the server in PUBSUB_EMULATOR_HOST.
//
//     PUBSUB_EMULATOR_HOST=127.0.0.1:8085 node story.js [CHAPTER...]
//
// Each chapter has topics and subscriptions of its own (project SLUICE_PROJECT) and prints "ok NAME" or "FAIL NAME: why".
// The chapters run at the same time; survives-restart runs last and alone, and only with SLUICE_RESTART: it prints a line
// "RESTART" when it wants the server killed and started again with the same port and data.
const chapters = {
  ...require('./chapters/publishing'),
  ...require('./chapters/delivery'),
  ...require('./chapters/replay'),
  ...require('./chapters/resources'),
  ...require('./chapters/endurance'),
};
const LAST = 'survives-restart';

async function run(name) {
  if (name === LAST && !process.env.SLUICE_RESTART) {
    console.log(`skip ${name}`);
    return;
  }
  try {
    await chapters[name]();
    console.log(`ok ${name}`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`FAIL ${name}: ${error.message.replaceAll(/\s+/g, ' ').slice(0, 2_000)}`);
  }
}

async function main() {
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter(name => !(name in chapters));
  if (unknown.length) throw new Error(`no such chapter: ${unknown}`);
  const names = wanted.length ? wanted : Object.keys(chapters);
  await Promise.all(names.filter(name => name !== LAST).map(run));
  if (names.includes(LAST)) await run(LAST);
  process.exit();
}

main();
