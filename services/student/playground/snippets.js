// What was asked, as a person would ask it from a shell or a program. The key itself is never part of it.

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export function asCurl(calls, origin, guarded) {
  const key = guarded ? ` -H "authorization: Bearer $ASKBACK_API_KEY"` : "";
  return calls.map(({ path, body }) =>
    `curl -sSN ${origin}${path}${key} -H 'content-type: application/json' -d ${quoted(JSON.stringify(body))}`).join("\n");
}

export function asPython(calls, origin, guarded) {
  const lines = [...(guarded ? ["import os", ""] : []), "import httpx", ""];
  const key = guarded ? `, headers={"authorization": f"Bearer {os.environ['ASKBACK_API_KEY']}"}` : "";
  for (const { path, body } of calls) {
    const { stream: _, ...asked } = body;
    lines.push(`reply = httpx.post("${origin}${path}", json=${literal(asked)}${key}, timeout=600)`,
      "reply.raise_for_status()", "print(reply.json())");
  }
  return lines.join("\n") + "\n";
}

// JSON's texts and numbers are Python's too; its three words are not.
function literal(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one)}`).join(", ")}}`;
  return JSON.stringify(value);
}
