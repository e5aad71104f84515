/** The one style sheet of the server-rendered pages, light and dark by the system's choice. */
export const styles = `
:root { color-scheme: light dark; --page: #f4f6f8; --card: #ffffff; --text: #17212b; --muted: #5a6875; --line: #dbe1e7; --accent: #0b62a8; --on-accent: #ffffff;
  --ok: #17713b; --ok-soft: #dff3e6; --warn: #8a5300; --warn-soft: #fcefd6; --bad: #ab1f2c; --bad-soft: #fbe1e3; --idle: #4a5763; --idle-soft: #e8ecf0; --edge: #7c8995; }
@media (prefers-color-scheme: dark) { :root { --page: #10161c; --card: #19212a; --text: #e4eaf0; --muted: #9aa8b5; --line: #2c3844; --accent: #6fb5f2; --on-accent: #0b1620;
  --ok: #7fdba0; --ok-soft: #17382a; --warn: #f2c069; --warn-soft: #3d2f14; --bad: #ff9ba4; --bad-soft: #45202a; --idle: #aab7c3; --idle-soft: #2a343e; --edge: #6f7f8d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
header.bar { display: flex; align-items: center; gap: 1rem; padding: .75rem 1.5rem; background: var(--card); border-bottom: 1px solid var(--line); }
header.bar .name { font-weight: 650; letter-spacing: -.01em; }
header.bar .name span { color: var(--muted); font-weight: 400; }
header.bar .who { margin-left: auto; color: var(--muted); text-align: right; }
header.bar form { margin: 0; }
header.bar button { white-space: nowrap; }
@media (max-width: 40rem) { header.bar .who { display: none; } header.bar form { margin-left: auto; } }
main { max-width: 76rem; margin: 1.5rem auto; padding: 0 1.5rem; display: grid; gap: 1.25rem; }
.stack { display: grid; gap: 1.25rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 1rem; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: .9rem 1.1rem; }
.tile .figure { font-size: 1.75rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.2; }
.tile .label { color: var(--muted); }
a.tile { color: inherit; text-decoration: none; }
a.tile:hover .label { text-decoration: underline; }
section { overflow: hidden; }
section h2 { font-size: 1rem; margin: 0; padding: .8rem 1.1rem; border-bottom: 1px solid var(--line); }
section .none { margin: 0; padding: 1rem 1.1rem; color: var(--muted); }
.scroll { overflow-x: auto; background: linear-gradient(to right, var(--card) 40%, transparent) left / 2.5rem 100% no-repeat local, linear-gradient(to left, var(--card) 40%, transparent) right / 2.5rem 100% no-repeat local,
  radial-gradient(farthest-side at 0 50%, rgb(0 0 0 / .22), transparent) left / .8rem 100% no-repeat scroll, radial-gradient(farthest-side at 100% 50%, rgb(0 0 0 / .22), transparent) right / .8rem 100% no-repeat scroll; }
table { border-collapse: collapse; width: 100%; min-width: 52rem; }
th, td { text-align: left; padding: .5rem 1.1rem; vertical-align: top; }
th { color: var(--muted); font-weight: 500; font-size: .86rem; white-space: nowrap; }
tbody tr { border-top: 1px solid var(--line); }
td.number { font-variant-numeric: tabular-nums; }
td .sub { color: var(--muted); font-size: .88rem; overflow-wrap: anywhere; }
td time, td.nowrap, .sub.nowrap, td button { white-space: nowrap; }
.state { display: inline-block; padding: .05rem .55rem; border-radius: 999px; font-size: .86rem; font-weight: 550; white-space: nowrap; color: var(--idle); background: var(--idle-soft); }
.state.ok { color: var(--ok); background: var(--ok-soft); }
.state.warn { color: var(--warn); background: var(--warn-soft); }
.state.bad { color: var(--bad); background: var(--bad-soft); }
footer { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1rem; color: var(--muted); font-size: .88rem; padding-bottom: 2rem; }
footer form { margin: 0; }
footer button { padding: .15rem .6rem; }
::placeholder { color: var(--muted); opacity: 1; }
a { color: var(--accent); }
button, input { font: inherit; }
button { padding: .4rem .9rem; border-radius: 7px; border: 1px solid var(--edge); background: var(--card); color: var(--text); cursor: pointer; }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; width: 100%; padding: .6rem; }
button:focus-visible, input:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.sign-in { max-width: 23rem; margin: 12vh auto 0; padding: 0 1rem; }
.sign-in .panel { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.75rem; }
.sign-in h1 { font-size: 1.3rem; margin: 0 0 .2rem; }
.sign-in p.hint { color: var(--muted); margin: 0 0 1.25rem; }
.sign-in label { display: block; font-weight: 550; margin-bottom: 1rem; }
.sign-in label small { color: var(--muted); font-weight: 400; }
.sign-in input { display: block; width: 100%; margin-top: .25rem; padding: .55rem .7rem; border: 1px solid var(--edge); border-radius: 7px; background: var(--page); color: var(--text); }
.sign-in .error { color: var(--bad); background: var(--bad-soft); border-radius: 7px; padding: .6rem .8rem; margin: 0 0 1rem; }
.skip { position: absolute; left: -100vw; padding: .5rem 1rem; background: var(--card); }
.skip:focus { left: 0; z-index: 1; }
nav.places { display: flex; flex-wrap: wrap; gap: .25rem; padding: .35rem 1.25rem; background: var(--card); border-bottom: 1px solid var(--line); }
nav.places a { padding: .3rem .75rem; border-radius: 7px; color: var(--muted); text-decoration: none; }
nav.places a:hover { color: var(--text); background: var(--page); }
nav.places a[aria-current] { color: var(--text); font-weight: 600; background: var(--page); }
main > h1 { font-size: 1.35rem; margin: 0; letter-spacing: -.01em; overflow-wrap: anywhere; }
main > h1 .id { font-size: 1rem; color: var(--muted); }
p.back { margin: 0 0 -.9rem; font-size: .9rem; }
section h2 small { color: var(--muted); font-weight: 400; }
.notice { margin: 0; padding: .7rem 1.1rem; border-radius: 10px; color: var(--ok); background: var(--ok-soft); }
.notice.problem { color: var(--bad); background: var(--bad-soft); }
.id, td.value, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: .87rem; }
td.id { overflow-wrap: anywhere; min-width: 9rem; max-width: 20rem; }
.tree td.id { min-width: 17rem; max-width: 26rem; }
td.id.nowrap { max-width: none; }
td.value { overflow-wrap: anywhere; min-width: 8rem; }
form.filter { display: grid; grid-template-columns: repeat(auto-fill, minmax(11.5rem, 1fr)); gap: .75rem 1rem; align-items: end; background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; }
form.filter label, form.try label, .decide label { display: grid; gap: .2rem; font-size: .86rem; color: var(--muted); }
form.filter input, form.filter select { height: 2.35rem; }
form.filter input, form.filter select, form.try textarea, .decide input { width: 100%; padding: .4rem .55rem; border: 1px solid var(--edge); border-radius: 7px; background: var(--page); color: var(--text); font: inherit; }
form.try { padding: 1rem 1.1rem; display: grid; gap: .75rem; }
form.try textarea { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: .87rem; resize: vertical; }
.buttons { display: flex; align-items: center; gap: .9rem; }
button.go { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
.actions { display: flex; flex-wrap: wrap; align-items: center; gap: .6rem 1rem; padding: .8rem 1.1rem; border-top: 1px solid var(--line); color: var(--muted); font-size: .9rem; }
.actions form, .aside, .more, .decide form { margin: 0; }
.aside { color: var(--muted); font-size: .9rem; }
.more { padding: .7rem 1.1rem; border-top: 1px solid var(--line); }
.decide { display: flex; flex-wrap: wrap; align-items: start; gap: .4rem .75rem; }
.decide button { padding: .2rem .7rem; white-space: nowrap; }
.decide details form { display: grid; gap: .4rem; padding-top: .4rem; min-width: 14rem; }
.decide summary { padding: .2rem 0; }
summary { cursor: pointer; color: var(--accent); padding: .5rem 1.1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; margin: 0; padding: .8rem 1.1rem; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
dd ul { margin: 0; padding-left: 1.1rem; }
ul.warnings { margin: 0; padding: .6rem 1.1rem .2rem 2.2rem; color: var(--warn); }
pre { margin: 0; padding: .8rem 1.1rem; overflow: auto; max-height: 32rem; border-top: 1px solid var(--line); white-space: pre; }
.scroll.tall { max-height: 36rem; overflow: auto; border-top: 1px solid var(--line); }
.scroll.tall thead th { position: sticky; top: 0; background: var(--card); }
.tree td { padding-top: .2rem; padding-bottom: .2rem; }
.tree tbody tr { border-top: 0; }
.tree tr.head td { padding-top: .5rem; font-weight: 600; }
.tree .depth1 td:first-child { padding-left: 2.2rem; } .tree .depth2 td:first-child { padding-left: 3.3rem; } .tree .depth3 td:first-child { padding-left: 4.4rem; }
.tree .depth4 td:first-child { padding-left: 5.5rem; } .tree .depth5 td:first-child { padding-left: 6.6rem; } .tree .depth6 td:first-child { padding-left: 7.7rem; }
p.download, p.hint { margin: 0; padding: .7rem 1.1rem; color: var(--muted); font-size: .9rem; }
p.download { border-top: 1px solid var(--line); }
.confirm p { margin: 0; padding: .8rem 1.1rem; }
progress { display: block; width: calc(100% - 2.2rem); margin: .9rem 1.1rem .2rem; height: .6rem; accent-color: var(--accent); }
form.filter .wide { grid-column: span 2; }
.where { padding: .8rem 1.1rem 0; }
.where:last-child { padding-bottom: .8rem; }
.where .sub, .advice { font-size: .95rem; }
.advice { color: var(--text); border-left: 3px solid var(--accent); padding-left: .6rem; margin-top: .3rem; }
p.advice { margin: .8rem 1.1rem 0; }
ol.steps { list-style: none; display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem 1.2rem; margin: 0; padding: .8rem 1.1rem 1rem; color: var(--muted); font-size: .9rem; }
ol.steps li { border-top: 3px solid var(--line); padding-top: .35rem; }
ol.steps li.done { border-top-color: var(--ok); }
ol.steps strong { display: block; color: var(--text); font-weight: 600; }
ol.steps li.done strong::before { content: "✓ "; color: var(--ok); }
td.picture { width: 7rem; }
img.small, img.large { display: block; object-fit: contain; background: #000; border-radius: 6px; color: #ccc; font-size: .8rem; max-width: 100%; height: auto; aspect-ratio: 1; }
table.sides { table-layout: fixed; }
table.sides td { overflow-wrap: anywhere; }
table.sides th, table.sides time { white-space: normal; }
table.sides th[scope="col"]:first-child { width: 8rem; }
tbody th { vertical-align: top; }
th .sub { font-size: .88rem; white-space: normal; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.choices { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: .75rem 1.5rem; }
.choices .sub { color: var(--muted); font-size: .88rem; padding-top: .25rem; }
.sub.none { padding: 0; }
form.try input { width: 100%; max-width: 44rem; padding: .4rem .55rem; border: 1px solid var(--edge); border-radius: 7px; background: var(--page); color: var(--text); font: inherit; }
form.try p.aside { margin: 0; }
.fields { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .75rem 1rem; }
form.try select { width: 100%; height: 2.35rem; padding: .4rem .55rem; border: 1px solid var(--edge); border-radius: 7px; background: var(--page); color: var(--text); font: inherit; }
form.try label.check { display: flex; align-items: center; gap: .5rem; color: var(--text); }
form.try label.check input { width: auto; }
.notice ul { margin: .3rem 0 0; padding-left: 1.2rem; }
ul.effects { margin: 0; padding: .8rem 1.1rem .2rem 2.2rem; }
.report h3, .statement h3, .statement h4 { font-size: .95rem; margin: 0; padding: .7rem 1.1rem 0; }
p.prose { margin: 0; padding: .2rem 1.1rem .6rem; white-space: pre-wrap; overflow-wrap: anywhere; max-width: 60rem; }
.statement h2:not(:first-child) { border-top: 1px solid var(--line); margin-top: .8rem; }
.statement > p { margin: 0; padding: .6rem 1.1rem; max-width: 62rem; }
.statement > ul { margin: 0; padding: .3rem 1.1rem .6rem 2.2rem; }
.statement table { min-width: 0; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: .9em; }
select:focus-visible, textarea:focus-visible, summary:focus-visible, .scroll:focus-visible, pre:focus-visible { outline: 3px solid var(--accent); outline-offset: -2px; }
@media (max-width: 40rem) { form.filter { grid-template-columns: 1fr 1fr; gap: .5rem .75rem; } main { padding: 0 .9rem; margin-top: 1rem; } nav.places { padding: .35rem .6rem; } nav.places a { padding: .3rem .55rem; } table { min-width: 36rem; font-size: .93rem; } table.sides, table.tree { min-width: 0; } table.sides th[scope="col"]:first-child { width: 4.7rem; } .tree td.id { min-width: 7.5rem; } th, td { padding: .4rem .6rem; } section h2, section .none, dl, .actions, p.hint { padding-left: .8rem; padding-right: .8rem; } dl { column-gap: .9rem; } }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --muted: #444; --line: #bbb; --accent: #000; --ok: #000; --warn: #000; --bad: #000; --idle: #000; --ok-soft: #fff; --warn-soft: #fff; --bad-soft: #fff; --idle-soft: #fff; }
  header.bar form, header.bar .who, nav.places, .skip, p.back, .actions, form, .unprinted, .more { display: none !important; }
  main { max-width: none; margin: 0; padding: 0; }
  section { border: 0; border-radius: 0; overflow: visible; break-inside: auto; }
  .state { border: 1px solid #444; }
  .scroll, .scroll.tall, pre { overflow: visible; max-height: none; }
  table { min-width: 0; font-size: .82rem; }
  thead { display: table-header-group; }
  tr, img, h2, h3 { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  a { text-decoration: none; }
}
`;
