/** The keys that the server may ask for, by the providers' own variable names; held against the server's by a test. */
export interface KeyName {
  name: string;
  provider: string;
}

export const KEY_NAMES: readonly KeyName[] = [
  { name: 'ANTHROPIC_API_KEY', provider: 'Anthropic' },
  { name: 'OPENAI_API_KEY', provider: 'OpenAI' },
  { name: 'GEMINI_API_KEY', provider: 'Google Gemini' },
  { name: 'GOOGLE_API_KEY', provider: 'Google' },
  { name: 'OPENROUTER_API_KEY', provider: 'OpenRouter' },
  { name: 'MISTRAL_API_KEY', provider: 'Mistral' },
  { name: 'DEEPSEEK_API_KEY', provider: 'DeepSeek' },
  { name: 'GROQ_API_KEY', provider: 'Groq' },
  { name: 'XAI_API_KEY', provider: 'xAI' },
  { name: 'KIRO_API_KEY', provider: 'Kiro' },
  { name: 'ANTHROPIC_AUTH_TOKEN', provider: 'Anthropic' },
];

export type KeyTrouble = 'empty' | 'several lines' | 'a name with it';

/** What is wrong with a key as it was typed or pasted; blanks around it are no trouble. */
export function troubleWith(typed: string): KeyTrouble | undefined {
  const key = typed.trim();
  if (key === '') return 'empty';
  if (/\s/.test(key)) return 'several lines';
  return /^(?:export\b|[A-Z_]+=)/.test(key) ? 'a name with it' : undefined;
}
