/** What something is called there, and what here. */
export function NamesMap({ title, names, links }: { title: string; names: Record<string, string>; links?: (name: string) => string | undefined }) {
  const rows = Object.entries(names);
  if (rows.length === 0) return null;
  return (
    <table class="names">
      <caption class="sr">{title}</caption>
      <thead><tr><th scope="col">{title}</th><th scope="col">In the copy</th></tr></thead>
      <tbody>
        {rows.map(([from, to]) => {
          const link = links?.(to);
          return <tr key={from}><td>{from}</td><td>{link ? <a href={link} target="_blank" rel="noreferrer noopener">{to}</a> : <strong>{to}</strong>}</td></tr>;
        })}
      </tbody>
    </table>
  );
}
