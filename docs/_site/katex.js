// TeX to HTML with MathML beside it: [[tex, display], ...] on stdin, a list of strings on stdout.
// Whatever KaTeX doesn't take, or only takes with a warning, is an error.
const katex = require(process.argv[2]);
const formulas = JSON.parse(require("fs").readFileSync(0, "utf8"));
const render = ([tex, displayMode]) =>
  katex.renderToString(tex, { displayMode, throwOnError: true, strict: "error" });
process.stdout.write(JSON.stringify(formulas.map(render)));
